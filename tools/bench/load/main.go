// Load measures how fast a plugin answers: keep-alive HTTP on a unix socket, as dockerd asks.
//
// It reads cases from a file, sends each as often as its weight says on every connection, one
// request at a time, and writes percentiles in microseconds and the total rate as JSON. The text
// @@@@@@@@ in a message, or in the body that it contains in base64, is replaced by a number that
// never repeats.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type testCase struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Weight  int    `json:"weight"`
	Allow   bool   `json:"allow"`

	// The message around its body, and the body, if the placeholder is in that.
	before, after string
	body          []byte
}

type report struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count int     `json:"count"`
}

var counter atomic.Uint64

const placeholder = "@@@@@@@@"

func main() {
	socket := flag.String("socket", "", "unix socket of the plugin")
	file := flag.String("cases", "", "JSON file with the cases")
	connections := flag.Int("connections", 1, "connections, one request at a time on each")
	duration := flag.Duration("duration", 5*time.Second, "how long to measure")
	warmup := flag.Duration("warmup", time.Second, "how long to go on before measuring")
	rate := flag.Int("rate", 0, "requests a second on each connection, 0 for as many as there can be")
	flag.Parse()
	counter.Store(uint64(time.Now().UnixNano()/1000) % 90_000_000)

	text, err := os.ReadFile(*file)
	check(err)
	var cases []testCase
	check(json.Unmarshal(text, &cases))
	var order []int
	for i, c := range cases {
		cases[i].splitBody()
		for range c.Weight {
			order = append(order, i)
		}
	}

	var group sync.WaitGroup
	times := make([][][]time.Duration, *connections)
	start := time.Now().Add(*warmup)
	end := start.Add(*duration)
	for n := range *connections {
		group.Go(func() {
			times[n] = run(*socket, cases, order, n, start, end, *rate)
		})
	}
	group.Wait()

	reports := map[string]report{}
	total := 0
	for i, c := range cases {
		var all []time.Duration
		for n := range times {
			all = append(all, times[n][i]...)
		}
		total += len(all)
		reports[c.Name] = summarize(all)
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"cases": reports,
		"rate":  float64(total) / duration.Seconds(),
	}))
}

func run(socket string, cases []testCase, order []int, offset int, start, end time.Time, rate int) [][]time.Duration {
	connection, err := net.Dial("unix", socket)
	check(err)
	defer connection.Close()
	reader := bufio.NewReader(connection)
	found := make([][]time.Duration, len(cases))
	for turn := offset * 7; ; turn++ {
		i := order[turn%len(order)]
		message := encode(cases[i])
		before := time.Now()
		if before.After(end) {
			return found
		}
		_, err := connection.Write(message)
		check(err)
		response, err := http.ReadResponse(reader, nil)
		check(err)
		var answer struct {
			Allow bool
			Msg   string
		}
		check(json.NewDecoder(response.Body).Decode(&answer))
		check(response.Body.Close())
		taken := time.Since(before)
		if answer.Allow != cases[i].Allow {
			log.Fatalf("%s: allow is %v: %s", cases[i].Name, answer.Allow, answer.Msg)
		}
		if before.After(start) {
			found[i] = append(found[i], taken)
		}
		if rate > 0 {
			time.Sleep(time.Until(before.Add(time.Second / time.Duration(rate))))
		}
	}
}

func (c *testCase) splitBody() {
	var fields struct{ RequestBody string }
	check(json.Unmarshal([]byte(c.Message), &fields))
	body, err := base64.StdEncoding.DecodeString(fields.RequestBody)
	check(err)
	if bytes.Contains(body, []byte(placeholder)) {
		c.before, c.after, _ = strings.Cut(c.Message, fields.RequestBody)
		c.body = body
	}
}

func encode(c testCase) []byte {
	number := []byte(fmt.Sprintf("%08d", counter.Add(1)))
	text := []byte(c.Message)
	if c.body != nil {
		body := bytes.ReplaceAll(c.body, []byte(placeholder), number)
		text = slices.Concat([]byte(c.before), []byte(base64.StdEncoding.EncodeToString(body)), []byte(c.after))
	}
	body := bytes.ReplaceAll(text, []byte(placeholder), number)
	var message bytes.Buffer
	fmt.Fprintf(&message, "POST %s HTTP/1.1\r\nHost: plugin.moby.localhost\r\nUser-Agent: Go-http-client/1.1\r\n", c.Path)
	fmt.Fprintf(&message, "Content-Length: %d\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n", len(body))
	message.Write(body)
	return message.Bytes()
}

func summarize(times []time.Duration) report {
	if len(times) == 0 {
		return report{}
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Nanoseconds()) / 1000
	}
	return report{P50: at(0.5), P99: at(0.99), Max: at(1), Count: len(times)}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
