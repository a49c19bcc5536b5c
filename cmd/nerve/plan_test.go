package main

import (
	"bytes"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	loop "smartstack/internal/nerve"
	"smartstack/internal/service"
	"smartstack/reporters"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, text string) (*plan, error) {
	t.Helper()
	return readPlan(write(t, "n.yaml", text), false, reporters.Deps{Stdout: io.Discard}, slog.New(slog.DiscardHandler))
}

func TestPlan(t *testing.T) {
	p, err := read(t, `
instance_id: i-1
heartbeat_path: /var/run/beat
max_repeated_report_failures: 3
statsd: {host: stats, port: "8126"}
listen_port: 1025
services:
  web:
    host: 10.0.0.1
    port: "8080"
    reporter_type: console
    check_interval: "1.5"
    weight: "7"
    haproxy_server_options: check inter 2s
    labels: {az: a, n: [1, 2]}
    rate_limiting: {average_rate: 0.5, max_burst: 3, shadow_mode: no}
    checks:
      - {type: http, uri: /health, rise: 3, fall: 2}
      - {type: tcp, port: 81}
  many:
    host: h
    port: 1
    load_test_concurrency: 2
    check_mocked: yes
    checks: [{type: tcp}]
    rate_limiting: {}
    reporters:
      - type: console
      - {type: file, path: /run/many}
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.warnings) > 0 {
		t.Errorf("warnings: %v", p.warnings)
	}
	if p.config.Heartbeat != "/var/run/beat" || len(p.config.Services) != 3 {
		t.Fatalf("%+v", p.config)
	}
	web := p.config.Services[0]
	want := service.Backend{
		Name: "i-1", Host: "10.0.0.1", Port: 8080, Weight: service.KnownInt(7),
		ServerOptions: "check inter 2s", Labels: `{"az":"a","n":[1,2]}`,
	}
	if diff := cmp.Diff(want, web.Backend); diff != "" {
		t.Errorf("backend (-want +got):\n%s", diff)
	}
	if web.Interval != 1500*time.Millisecond || web.Limit != (loop.Limit{On: true, Rate: 0.5, Burst: 3}) {
		t.Errorf("%+v", web)
	}
	if len(web.Checks) != 2 || web.Checks[0].Name != "http-10.0.0.1:8080/health" || web.Checks[1].Name != "web tcp-10.0.0.1:81" {
		t.Errorf("checks: %+v", web.Checks)
	}
	many := p.config.Services[1]
	if many.Name != "many_0" || p.config.Services[2].Name != "many_1" || len(many.Checks) != 0 || len(many.Reporters) != 2 {
		t.Errorf("%+v", many)
	}
	if l := many.Limit; !l.On || !l.Shadow || !math.IsInf(l.Rate, 1) || !math.IsInf(l.Burst, 1) {
		t.Errorf("limit: %+v", l)
	}
	if many.Reporters[1].Name != "file[1]" {
		t.Errorf("reporters: %+v", many.Reporters)
	}
}

func TestKeyFollowsTheOptions(t *testing.T) {
	keys := map[string]bool{}
	for _, text := range []string{
		"instance_id: i-1\nservices: {web: {host: h, port: 1, reporter_type: console}}",
		"instance_id: i-1\nservices: {web: {host: h, port: 1, reporter_type: console}, b: {host: h, port: 1, reporter_type: console}}",
		"instance_id: i-1\nservices:\n  web:\n    host: h # again\n    port: 1\n    reporter_type: console\n",
		"instance_id: i-2\nservices: {web: {host: h, port: 1, reporter_type: console}}",
		"instance_id: i-1\nservices: {web: {host: h, port: 2, reporter_type: console}}",
	} {
		p, err := read(t, text)
		if err != nil {
			t.Fatal(err)
		}
		keys[p.config.Services[0].Key] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d different keys, want 3: %v", len(keys), keys)
	}
}

// All faults at once, each with its place.
func TestFaults(t *testing.T) {
	_, err := read(t, `
services:
  a: {port: 1, reporter_type: console}
  b: {host: h, port: 99999, reporter_type: console}
  c: {host: h, port: 1, reporter_type: pigeon}
  d: {host: h, port: 1, reporter_type: console, weight: null}
  e: {host: h, port: 1, reporter_type: console, weight: -1}
  f: {host: h, port: 1, reporter_type: console, rate_limiting: {average_rate: -1, max_burst: 0.5}}
  g: {host: h, port: 1, reporter_type: console, check_interval: 0}
  h: {host: h, port: 1, reporter_type: file, checks: [{type: tpc}, {type: http}]}
  i: {host: h, port: 1, reporters: []}
  j: {host: h, port: 1, reporters: [{path: x}], reporter_type: file}
  k: {host: h, port: 1, reporters: [{path: x}]}
  l: {host: h, port: 1, reporter_type: console, labels: [1]}
  m: {host: h, port: 1, reporter_type: console, haproxy_server_options: "check\nbackend evil"}
  n: {host: h, port: 1, reporter_type: console, load_test_concurrency: 1}
  n_0: {host: h, port: 1, reporter_type: console}
`)
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{
		`n.yaml:2:1: "instance_id" is required`,
		`services.a: "host" is required`,
		`services.b.port: want a port from 1 to 65535, got 99999`,
		`services.c.reporter_type: unknown type of reporter "pigeon", want one of console, etcd, file, zookeeper`,
		`services.d.weight: want a whole number, 0 or more`,
		`services.e.weight: want a whole number, 0 or more`,
		`services.f.rate_limiting.average_rate: want 0 or more`,
		`services.f.rate_limiting.max_burst: want at least 1`,
		`services.g.check_interval: want at least 0.01 s`,
		`services.h.checks[0].type: "tpc" is no check`,
		`services.h.checks[1]: "uri" is required`,
		`services.h: "path" is required`,
		`services.i.reporters: is empty`,
		`services.j.reporters: give either reporters or reporter_type`,
		`services.k.reporters[0]: "type" is required`,
		`services.l.labels: want an object`,
		`services.m.haproxy_server_options: haproxy_server_options "check\nbackend evil" hold a line break`,
		`two services are named "n_0"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing fault: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("all faults:\n%v", err)
	}
}

func TestUnknownKeysWarnOrFail(t *testing.T) {
	const text = "instance_id: i\nservise_conf_dir: x\nservices: {web: {host: h, port: 1, reporter_type: file, path: /x, chek_interval: 1}}"
	p, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.warnings, "\n"); len(p.warnings) != 2 || !strings.Contains(got, "servise_conf_dir") || !strings.Contains(got, "chek_interval") {
		t.Errorf("warnings: %v", p.warnings)
	}
	path := write(t, "n.yaml", text)
	if _, err := readPlan(path, true, reporters.Deps{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("--strict lets unknown options pass")
	}
}

func TestCommandLine(t *testing.T) {
	good := write(t, "good.json", `{"services": {"web": {"host": "h", "port": 1, "reporter_type": "console"}}}`)
	bad := write(t, "bad.json", `{"instance_id": "x", "services": {"a": {}, "b": {"host": 1}}}`)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "extra.yaml"), []byte("host: h\nport: 1\nreporter_type: console\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	withDir := write(t, "dir.json", `{"instance_id": "i", "service_conf_dir": "`+dir+`"}`)
	env := func(pairs ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1], true
				}
			}
			return "", false
		}
	}
	for _, tc := range []struct {
		name string
		args []string
		env  func(string) (string, bool)
		code int
		want []string // in stdout or stderr
	}{
		{"check", []string{"-k", "-c", good, "-i", "i-1"}, env(), exitOK, []string{"good.json is usable: 1 services"}},
		{"long flags", []string{"--check-config", "--config", good, "--instance_id", "i-1"}, env(), exitOK, []string{"usable"}},
		{"environment", nil, env("NERVE_CONFIG", good, "NERVE_INSTANCE_ID", "i", "NERVE_CHECK_CONFIG", ""), exitOK, []string{"usable"}},
		{"flags before environment", []string{"-c", good}, env("NERVE_CONFIG", bad, "NERVE_INSTANCE_ID", "i", "NERVE_CHECK_CONFIG", "1"), exitOK, []string{"usable"}},
		{"service_conf_dir", []string{"-k", "-c", withDir}, env(), exitOK, []string{"usable: 1 services"}},
		{"all faults", []string{"-k", "-c", bad}, env(), exitFault, []string{`services.a: "host" is required`, `services.a: "port" is required`, `services.b: "port" is required`}},
		{"no instance", []string{"-k", "-c", good}, env(), exitFault, []string{"instance_id"}},
		{"no file", []string{"-k", "-c", good + ".none"}, env(), exitFault, []string{"good.json.none"}},
		{"bad at start", []string{"-c", bad}, env(), exitFault, []string{"services.a"}},
		{"no configuration", nil, env(), 2, []string{"NERVE_CONFIG", "Usage:"}},
		{"unknown flag", []string{"--nope"}, env(), 2, []string{"nope", "Usage:"}},
		{"stray argument", []string{"-c", good, "x"}, env(), 2, []string{`"x"`}},
		{"version", []string{"--version"}, env(), exitOK, []string{"nerve dev"}},
		{"help", []string{"-h"}, env(), exitOK, []string{"Exit codes:"}},
		{"log format", []string{"-c", good, "--log-format", "xml"}, env(), 2, []string{"xml"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), tc.args, tc.env, &out, &out); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output does not hold %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// readPlan is readInput and plan, with nothing known of the host.
func readPlan(path string, strict bool, deps reporters.Deps, log *slog.Logger) (*plan, error) {
	in, err := readInput(path, strict, deps.Getenv)
	if err != nil {
		return nil, err
	}
	return in.plan("", knowledge{}, deps, log)
}
