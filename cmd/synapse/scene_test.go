package main

import (
	"testing"

	"smartstack/haproxy"
	"smartstack/internal/config"
)

func TestASourceIsNamedWithoutItsSecrets(t *testing.T) {
	p, err := parse(t, `{"services": {
		"a": {"discovery": {"method": "zookeeper", "path": "/a", "hosts": ["u:secret@zk1:2181", "zk2:2181"], "auth": ["digest:u:secret"]}},
		"c": {"discovery": {"method": "base"}},
		"d": {"discovery": {"method": "dns", "servers": [{"host": "web.example.org", "port": 80}, "api.example.org:81"], "nameserver": "127.0.0.1"}},
		"e": {"discovery": {"method": "ec2tag", "tags": [{"name": "role", "value": "web"}, {"name": "live"}], "aws_region": "eu-west-1", "aws_access_key_id": "AKIAsecret", "aws_secret_access_key": "secret"}, "haproxy": {"server_port_override": "80"}},
		"m": {"discovery": {"method": "multi", "resolver": {"method": "union"}, "watchers": {
			"zk": {"method": "zookeeper", "path": "/m", "hosts": ["zk1:2181"]}, "own": {"method": "base"}}}},
		"n": {"discovery": {"method": "base"}, "discovery_multi": {"resolver": {"method": "fallback"}, "watchers": {"old": {"method": "file", "path": "/reg"}}}}
	}, `+output+`}`, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a": "zookeeper path=/a hosts=zk1:2181,zk2:2181",
		"c": "base",
		"d": "dns nameserver=127.0.0.1 servers=web.example.org:80,api.example.org:81",
		"e": "ec2tag tags=role:web,live aws_region=eu-west-1",
		"m": "multi union(zk: zookeeper path=/m hosts=zk1:2181; own: base)",
		"n": "multi fallback(base; old: file path=/reg)",
	} {
		if got := p.sources[name]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAnAddressLosesItsLogin(t *testing.T) {
	for text, want := range map[string]string{
		"http://u:secret@m:8080/x?token=secret": "http://m:8080/x", "u:secret@h:1": "h:1", "h:1": "h:1",
		"http://u:secret@a,http://v:secret@b": "http://b",
	} {
		if got := withoutLogin(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLinksLeadToTheStatistics(t *testing.T) {
	o := &haproxy.Options{ExtraSections: config.Map[[]string]{
		{Key: "listen stats :1937", Value: []string{"mode http", "stats enable", "stats uri /s"}},
		{Key: "listen other", Value: []string{"bind 10.0.0.1:80"}},
		{Key: "frontend f", Value: []string{"bind /run/x.sock", "bind 127.0.0.1:90", "stats enable"}},
	}}
	var got []string
	for _, l := range statsLinks(o) {
		got = append(got, l.URL)
	}
	if len(got) != 2 || got[0] != "http://localhost:1937/s" || got[1] != "http://127.0.0.1:90/haproxy?stats" {
		t.Errorf("%v", got)
	}
}
