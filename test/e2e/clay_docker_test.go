//go:build docker

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

// This file is Clay.io's story as it was: containers for everything, an EC2
// that is not ours, and the published file untouched: make test-docker.

// instance is what Clay.io ran: the new deploy on one port, the old one on the
// other. GET /die ends the first.
const instance = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	main, err := net.Listen("tcp", ":50001")
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { main.Close() })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Args[1], " ", r.Context().Value(http.LocalAddrContextKey)) })
	go http.Serve(main, nil)
	fmt.Println(http.ListenAndServe(":50002", nil))
}
`

const (
	clayNet  = "smartstack-test-clay"
	subnet   = "10.97.34."
	clayPoll = 120 * time.Second // check_interval in the file
)

// docker runs the command line client.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput() // not bound to the test's context: it cleans up too
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// container starts one on Clay's network, with an address of its own.
func container(t *testing.T, last int, args ...string) {
	t.Helper()
	id := docker(t, append([]string{"run", "-d", "--network", clayNet, "--ip", fmt.Sprint(subnet, last)}, args...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v:\n%s", args, docker(t, "logs", id))
		}
		docker(t, "rm", "-f", id)
	})
}

// ec2 sends a form to moto and returns what stands in the first such element.
func ec2(t *testing.T, element string, pairs ...string) string {
	t.Helper()
	form := url.Values{"Version": {"2016-11-15"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+subnet+"2:5000/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	var answer []byte
	servers.Eventually(t, func() error {
		res, err := http.DefaultClient.Do(req.Clone(t.Context()))
		if err != nil {
			req.Body = io.NopCloser(strings.NewReader(form.Encode()))
			return err
		}
		defer res.Body.Close()
		answer, err = io.ReadAll(res.Body)
		return err
	})
	found := regexp.MustCompile("<" + element + ">([^<]*)<").FindSubmatch(answer)
	if found == nil {
		t.Fatalf("%v: no %s in %s", form, element, answer)
	}
	return string(found[1])
}

func TestClaysFileUntouched(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "instance.go")
	if err := os.WriteFile(source, []byte(instance), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "instance"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := filepath.Abs("../../internal/config/testdata/airbnb/clay-ec2tag-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "haproxy")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	docker(t, "network", "create", "--subnet", subnet+"0/24", clayNet)
	t.Cleanup(func() { docker(t, "network", "rm", clayNet) })
	container(t, 2, "--name", "smartstack-test-clay-moto", "smartstack-test-moto")
	vpc := ec2(t, "vpcId", "Action", "CreateVpc", "CidrBlock", subnet+"0/24")
	sub := ec2(t, "subnetId", "Action", "CreateSubnet", "VpcId", vpc, "CidrBlock", subnet+"0/24")
	var ids []string
	for i := range 3 {
		ip := fmt.Sprint(subnet, 11+i)
		container(t, 11+i, "-v", dir+":/srv:ro", "debian:trixie-slim", "/srv/instance", ip)
		ids = append(ids, ec2(t, "instanceId", "Action", "RunInstances", "ImageId", "ami-12c6146b", "MinCount", "1", "MaxCount", "1",
			"SubnetId", sub, "PrivateIpAddress", ip, "TagSpecification.1.ResourceType", "instance",
			"TagSpecification.1.Tag.1.Key", "servicename", "TagSpecification.1.Tag.1.Value", "true"))
	}
	began := time.Now()
	container(t, 3, "-v", bin+":/srv:ro", "-v", file+":/etc/synapse.conf.json:ro", "-v", shared+":/etc/haproxy",
		"-e", "AWS_ENDPOINT_URL_EC2=http://"+subnet+"2:5000", "-e", "AWS_REGION=us-east-1", "-e", "AWS_ACCESS_KEY_ID=x", "-e", "AWS_SECRET_ACCESS_KEY=y",
		"debian:trixie-slim", "/srv/synapse", "-c", "/etc/synapse.conf.json", "--log-format", "text")
	container(t, 4, "-v", shared+":/etc/haproxy:ro", "smartstack-test-clay")

	await(t, servers.Deadline, "11 10.97.34.11:50001", "12 10.97.34.12:50001", "13 10.97.34.13:50001")
	ec2(t, "instanceId", "Action", "StopInstances", "InstanceId.1", ids[1])
	await(t, clayPoll*6/5+servers.Deadline, "11 10.97.34.11:50001", "13 10.97.34.13:50001")
	for _, last := range []int{11, 13} {
		res, err := http.Get(fmt.Sprintf("http://%s%d:50001/die", subnet, last))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	awaitBackup(t)

	// One call for each poll, and polls at least 0.9 × 120 s apart.
	calls := strings.Count(docker(t, "logs", "smartstack-test-clay-moto"), subnet+"3 - - ")
	if most := 1 + int(time.Since(began)/(clayPoll*9/10)); calls < 2 || calls > most {
		t.Errorf("%d calls in %v, want 2 to %d", calls, time.Since(began), most)
	}
}

// awaitBackup waits until a backup answers, and nobody else: HAProxy takes one
// at a time.
func awaitBackup(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	servers.Eventually(t, func() error {
		got, err := ask(client, 6)
		if err != nil || len(got) != 1 || !strings.HasSuffix(fmt.Sprint(got), ":50002:true]") {
			return fmt.Errorf("%v answer (%v), want one backup", got, err)
		}
		return nil
	})
}

// await waits until HAProxy lets exactly these answer: the last number of the
// instance's address, and the port.
func await(t *testing.T, limit time.Duration, want ...string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	wanted := map[string]bool{}
	for _, w := range want {
		wanted[subnet+w] = true
	}
	var got map[string]bool
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		got, err = ask(client, 6*len(want))
		if err == nil && fmt.Sprint(got) == fmt.Sprint(wanted) {
			return
		}
	}
	t.Fatalf("%v answer (%v), want %v", got, err, wanted)
}

func ask(client *http.Client, times int) (map[string]bool, error) {
	got := map[string]bool{}
	for range times {
		res, err := client.Get("http://" + subnet + "4:50003/")
		if err != nil {
			return got, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return got, fmt.Errorf("status %d: %w", res.StatusCode, err)
		}
		got[string(body)] = true
	}
	return got, nil
}
