package main

import (
	"strings"
	"testing"
)

// TestFaultsHideNoOthers: a fault in one option of a service keeps none of the
// others, of its registries and of its checks from being looked at.
func TestFaultsHideNoOthers(t *testing.T) {
	_, err := read(t, `
instance_id: i
services:
  a:
    port: 70000
    zk_hosts: [z]
    node_type: permanent
    check_interval: 0
    drain_by: force
    labels: [1]
    rate_limiting: {average_rate: fast, max_burst: 0}
    checks: [{type: htp}, {type: http, timeout: soon, rise: 0, expect_regexp: "(a"}, {type: http, uri: /, expect_regexp: "(b"}]
  b: {host: "h h", port: 1, weight: -1, reporter_type: zookeper}
`)
	if err == nil {
		t.Fatal("no fault")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		`n.yaml:5:5: services.a: "host" is required`,
		`n.yaml:5:5: services.a: "zk_path" is required`,
		`n.yaml:5:11: services.a.port: want a port from 1 to 65535, got 70000`,
		`n.yaml:7:16: services.a.node_type: unknown word "permanent", want ephemeral_sequential`,
		`n.yaml:8:21: services.a.check_interval: want at least 0.01 s`,
		`n.yaml:9:15: services.a.drain_by: unknown word "force"`,
		`n.yaml:10:13: services.a.labels: want an object, got a list`,
		`n.yaml:11:35: services.a.rate_limiting.average_rate: want a number, got "fast"`,
		`n.yaml:11:52: services.a.rate_limiting.max_burst: want at least 1 change, got 0`,
		`n.yaml:12:21: services.a.checks[0].type: "htp" is no check; want one of all`,
		`n.yaml:12:49: services.a.checks[1].timeout: want seconds as a number, got "soon"`,
		`n.yaml:12:61: services.a.checks[1].rise: want at least 1, got 0`,
		`services.a.checks[1].expect_regexp: error parsing regexp`,
		`services.a.checks[2].expect_regexp: error parsing regexp`,
		`services.b.weight: want a whole number, 0 or more`,
		`services.b.host: host "h h" holds`,
		`services.b.reporter_type: unknown type of reporter "zookeper"`,
	} {
		found := 0
		for _, line := range lines {
			if strings.Contains(line, want) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d faults: %s", found, want)
		}
	}
	for _, line := range lines {
		if place, _, _ := strings.Cut(line, ": "); !strings.Contains(place, "/n.yaml:") {
			t.Errorf("a fault without a place: %s", line)
		}
	}
	if !strings.Contains(err.Error(), `did you mean "http"?`) || !strings.Contains(err.Error(), `did you mean "zookeeper"?`) {
		t.Error("no suggestion for a misspelt type")
	}
	if t.Failed() {
		t.Log(err)
	}
}

// TestMisspeltOptionsOfAService: what a service does not know goes to its
// reporter, whose suggestions must know the service's own keys, too.
func TestMisspeltOptionsOfAService(t *testing.T) {
	if _, err := read(t, "instance_id: i\nservices: {web: {host: h, port: 1, reporters: []}}"); err == nil || strings.Contains(err.Error(), "zk_") {
		t.Errorf("what belongs to no registry that is named is missed: %v", err)
	}
	p, err := read(t, "instance_id: i\nservices: {web: {host: h, port: 1, zk_hosts: z, zk_path: /x, chekcs: [], check_intervall: 1, zk_pth: /y}}")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(p.warnings, "\n")
	for _, want := range []string{`"checks"?`, `"check_interval"?`, `"zk_path"?`} {
		if !strings.Contains(got, "did you mean "+want) {
			t.Errorf("no suggestion %s in\n%s", want, got)
		}
	}
}

// TestFaultsOfServicesThatWait: a check that is wrong is said before the host is
// known.
func TestFaultsOfServicesThatWait(t *testing.T) {
	_, err := read(t, "instance_id: i\nservices: {a: {host: auto, port: 1, zk_hosts: z, zk_path: /x, checks: [{type: dns}]}}")
	if err == nil || !strings.Contains(err.Error(), `services.a.checks[0]: "domain" is required`) {
		t.Errorf("got %v", err)
	}
}

func TestFaultsOfContainersHaveAPlace(t *testing.T) {
	for text, want := range map[string]string{
		`docker: {defaults: {reporter_type: pigeon}}`: `n.yaml:2:36: docker.defaults.reporter_type: unknown type of reporter "pigeon"`,
		`docker: {defaults: {zk_hosts: z}}`:           `n.yaml:2:20: docker.defaults: "zk_path" is required`,
		`docker: {}`:                                  `n.yaml:2:9: docker: "zk_hosts" is required`,
		`docker: {defaults: {reporter_type: console}, services: {w: {checks: [{type: tpc}]}}}`: `docker.services.w: checks[0].type: "tpc" is no check`,
		`docker: {defaults: {reporter_type: console}, services: {w: {check_interval: fast}}}`:  `docker.services.w.check_interval: want seconds as a number, got "fast" (with docker.defaults)`,
		`docker: {defaults: [x]}`: `docker.defaults: want an object, got a list`,
		`docker: x`:               `n.yaml:2:9: docker: want an object, got "x"`,
	} {
		_, err := read(t, "instance_id: i\n"+text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.Contains(line, "/n.yaml:2:") {
				t.Errorf("%s: no place: %s", text, line)
			}
		}
	}
}
