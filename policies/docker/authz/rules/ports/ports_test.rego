package docker.authz.rules.ports_test

import data.docker.authz.examples
import data.docker.authz.profiles
import data.docker.authz.rules.ports

test_denied[name] if {
	some name, [request, changes, rules] in {
		"a port below the range": [_port("127.0.0.1", 7999, 7999), _local, {"ports.range"}],
		"a port above it": [_port("127.0.0.1", 9000, 9000), _local, {"ports.range"}],
		"a range that leaves it": [_port("127.0.0.1", 8990, 9001), _local, {"ports.range"}],
		"a range turned round": [_port("127.0.0.1", 8002, 8001), _local, {"ports.range"}],
		"a random port": [_port("127.0.0.1", 0, 0), _local, {"ports.range"}],
		"a port that cannot be read": [_port("127.0.0.1", null, null), _local, {"ports.range"}],
		"every address": [_port("0.0.0.0", 8080, 8080), _local, {"ports.address"}],
		"a port of nothing": [
			object.union(examples.container_create_full, {"ports": [{}]}),
			_local,
			{"ports.range", "ports.address"},
		],
		"all ports": [_host({"PublishAllPorts": true}), _local, {"ports.publish-all"}],
		"not said whether all ports": [
			json.remove(examples.container_create_full, ["/body/HostConfig/PublishAllPorts"]),
			_local,
			{"ports.publish-all"},
		],
	}
	found := ports.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	{denial.rule | some denial in found} == rules
}

test_allowed[name] if {
	some name, [request, changes] in {
		"a port in the range": [examples.container_create_full, _local],
		"the whole range": [_port("127.0.0.1", 8000, 8999), _local],
		"a random port where that is allowed": [_port("127.0.0.1", 0, 0), {"ports": {"random": true}}],
		"all ports where that is allowed": [
			_host({"PublishAllPorts": true}),
			object.union(_local, {"ports": {"publish_all": true}}),
		],
		"a list": [examples.container_list, _local],
	}
	found := ports.denials with input as request
		with data.docker.authz.config as object.union(profiles.closed, changes)
	count(found) == 0
}

_local := {"ports": {"ranges": [{"first": 8000, "last": 8999}], "addresses": ["127.0.0.1"]}}

_host(changes) := object.union(examples.container_create_full, {"body": {"HostConfig": changes}})

_port(host_ip, first, last) := object.union(examples.container_create_full, {"ports": [{
	"host_ip": host_ip,
	"first": first,
	"last": last,
	"protocol": "tcp",
	"field": "f",
}]})
