package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"
)

//go:embed templates/*.tmpl
var templates embed.FS

// host is one pretended machine: a web service and the nerve that watches it.
type host struct {
	name    string
	addr    string
	service *process
	nerve   *process
}

// stage holds everything that runs. One goroutine builds it, plays on it and
// strikes it.
type stage struct {
	o    options
	dir  string
	port int // of the load balancer
	page int // where synapse shows its page

	registry       registry
	registryAddr   string
	registryServer *process // nil for the file registry
	registryReady  func() error
	synapse        *process // and the HAProxy that it runs
	hosts          []*host

	inRegistry   <-chan sighting
	inHAProxy    <-chan sighting
	lastRegistry sighting
	lastHAProxy  sighting
	traffic      *traffic
	end          context.CancelFunc // of the observers
}

func newStage(dir string, o options) (*stage, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	o.bin = bin
	s := &stage{o: o, dir: dir, port: o.port, end: func() {}}
	if s.port == 0 {
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if s.page, err = freePort(); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.registryAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.registry, err = newRegistry(o.registry, dir, s.registryAddr)
	return s, err
}

// build starts everything in the order in which it is needed, and returns when
// requests are answered by all three hosts.
func (s *stage) build(ctx context.Context) error {
	steps := []func(context.Context) error{
		s.startRegistry, s.startHosts, s.startSynapse, s.watchAll, s.allInService,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.traffic = startTraffic(ctx, fmt.Sprintf("http://127.0.0.1:%d/", s.port))
	return nil
}

func (s *stage) startRegistry(ctx context.Context) error {
	s.registryServer, s.registryReady = s.registry.process()
	if s.registryServer == nil {
		return nil
	}
	if err := s.registryServer.start(); err != nil {
		return err
	}
	return s.registryServer.await(ctx, s.registryReady)
}

func (s *stage) startHosts(ctx context.Context) error {
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		port, err := freePort()
		if err != nil {
			return err
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		cfg, err := s.write("nerve.conf.json", "nerve-"+name+".conf.json", map[string]any{
			"Host": name, "Port": port, "Control": filepath.Join(s.dir, "nerve-"+name+".sock"),
		})
		if err != nil {
			return err
		}
		h := &host{
			name: name, addr: addr,
			service: &process{name: name, dir: s.dir, argv: []string{filepath.Join(s.o.bin, "webservice"), "-listen", addr, "-name", name}},
			nerve:   &process{name: "nerve-" + name, dir: s.dir, argv: []string{filepath.Join(s.o.bin, "nerve"), "-c", cfg}},
		}
		s.hosts = append(s.hosts, h)
		if err := h.service.start(); err != nil {
			return err
		}
		if err := h.service.await(ctx, accepts("tcp", addr)); err != nil {
			return err
		}
		if err := h.nerve.start(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) startSynapse(context.Context) error {
	bin := os.Getenv("HAPROXY_BIN")
	if bin == "" {
		var err error
		if bin, err = find("haproxy"); err != nil {
			return err
		}
	}
	cfg, err := s.write("synapse.conf.json", "synapse.conf.json", map[string]any{
		"Port": s.port, "HAProxy": bin, "Control": filepath.Join(s.dir, "synapse.sock"), "Page": s.page,
	})
	if err != nil {
		return err
	}
	s.synapse = &process{name: "synapse", dir: s.dir, argv: []string{filepath.Join(s.o.bin, "synapse"), "-c", cfg}}
	return s.synapse.start()
}

func (s *stage) watchAll(ctx context.Context) error {
	ctx, s.end = context.WithCancel(ctx)
	s.inRegistry = observe(ctx, s.registry.watch)
	s.inHAProxy = observe(ctx, haproxyServers(s.socket(), "web"))
	return nil
}

func (s *stage) allInService(ctx context.Context) error {
	for _, h := range s.hosts {
		if _, err := s.awaitChange(ctx, h.name, true, 60*time.Second); err != nil {
			return err
		}
	}
	return s.synapse.await(ctx, func() error {
		return get(ctx, &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
			fmt.Sprintf("http://127.0.0.1:%d/", s.port))
	})
}

func (s *stage) socket() string { return filepath.Join(s.dir, "haproxy.sock") }

// write fills in a template and returns the file's path.
func (s *stage) write(tmpl, file string, more map[string]any) (string, error) {
	registryHost, registryPort, _ := net.SplitHostPort(s.registryAddr)
	values := map[string]any{
		"Registry": s.o.registry, "RegistryAddr": s.registryAddr, "RegistryHost": registryHost, "RegistryPort": registryPort,
		"RegistryDir": filepath.Join(s.dir, "registry"), "HAProxyConfig": filepath.Join(s.dir, "haproxy.cfg"),
		"StateFile": filepath.Join(s.dir, "state.json"), "Socket": s.socket(),
	}
	maps.Copy(values, more)
	t, err := template.New(tmpl+".tmpl").Option("missingkey=error").ParseFS(templates, "templates/"+tmpl+".tmpl")
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, file)
	return path, os.WriteFile(path, text.Bytes(), 0o644)
}

// strike ends everything, clients first.
func (s *stage) strike() {
	if s.traffic != nil {
		s.traffic.end()
	}
	s.end()
	for _, p := range s.processes() {
		p.stop()
	}
	s.endHAProxy()
}

// haproxyPID is the file in which synapse notes the HAProxy that it runs.
func (s *stage) haproxyPID() string { return filepath.Join(s.dir, ".synapse", "haproxy", "pid") }

// endHAProxy ends a HAProxy that outlives its synapse, as it should when that
// one is killed. HAProxy has a group of its own.
func (s *stage) endHAProxy() {
	data, err := os.ReadFile(s.haproxyPID())
	if err != nil {
		return // it was never started
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil || pid <= 1 {
		return
	}
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && bytes.Contains(words, []byte(s.dir)) { // not somebody else with an old number
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// processes returns what was started, in the order in which to end it.
func (s *stage) processes() []*process {
	var all []*process
	for _, h := range s.hosts {
		all = append(all, h.nerve)
	}
	all = append(all, s.synapse, s.registryServer)
	for _, h := range s.hosts {
		all = append(all, h.service)
	}
	var started []*process
	for _, p := range all {
		if p != nil {
			started = append(started, p)
		}
	}
	return started
}

// ended names a process that has ended by itself.
func (s *stage) ended() error {
	for _, p := range s.processes() {
		if p.cmd == nil { // we ended it
			continue
		}
		select {
		case <-p.gone:
			return fmt.Errorf("%s has ended by itself", p.name)
		default:
		}
	}
	return nil
}

// tails returns the ends of all logs as one error, for a play that failed.
func (s *stage) tails() error {
	var all []error
	for _, p := range s.processes() {
		all = append(all, p.tail())
	}
	return errors.Join(all...)
}
