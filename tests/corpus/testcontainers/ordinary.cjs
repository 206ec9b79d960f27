// An ordinary test with Testcontainers for Node, run by tests/corpus/clients.py.
const assert = require("node:assert");
const { GenericContainer, Network, Wait } = require("testcontainers");

async function main(image, folder) {
  const network = await new Network().start();
  const container = await new GenericContainer(image)
    .withName("case-node")
    .withPlatform(`linux/${process.arch === "x64" ? "amd64" : process.arch}`)
    .withCommand(["sleep", "100"])
    .withEnvironment({ MODE: "test" })
    .withLabels({ team: "shop" })
    .withNetwork(network)
    .withNetworkAliases("db")
    .withExposedPorts(80)
    .withBindMounts([{ source: folder, target: "/w", mode: "ro" }])
    .withTmpFs({ "/t": "rw" })
    .withResourcesQuota({ memory: 0.0625 })
    .withCopyContentToContainer([{ content: "x", target: "/bin/file" }])
    .withWaitStrategy(Wait.forSuccessfulCommand("cat /bin/file"))
    .start();
  const { output } = await container.exec(["cat", "/bin/file"]);
  assert.strictEqual(output, "x");
  assert.ok(container.getMappedPort(80) > 0);
  await container.copyContentToContainer([{ content: "y", target: "/bin/other" }]);
  await container.copyArchiveFromContainer("/bin/other");
  await container.logs();
  await container.restart({ timeout: 0 });
  await container.stop({ timeout: 0 });
  await network.stop();
}

main(...process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
