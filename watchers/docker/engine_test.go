//go:build docker

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
	"smartstack/test/servers"
)

// This file is the story with a real engine: make test-docker.

// socket is where Debian's package puts it.
const socket = "/var/run/docker.sock"

// web serves its first argument on port 8080.
const web = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	fmt.Println(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Args[1])
	})))
}
`

// docker runs the command line client.
func docker(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...) // not bound to the test's context: it cleans up too
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// importImage makes an image of one static program, and removes it at the end.
func importImage(t *testing.T, name, program string) {
	t.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	if err := tw.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(data)), ModTime: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	id := docker(t, &archive, "import", "-", name)
	t.Cleanup(func() { docker(t, nil, "rmi", "-f", id) })
}

// start starts a container, and removes it at the end.
func start(t *testing.T, image, name string, args ...string) {
	t.Helper()
	argv := append([]string{"run", "-d", "--name", name}, args...)
	docker(t, nil, append(argv, image, "/web", name)...)
	t.Cleanup(func() { docker(t, nil, "rm", "-f", name) })
}

func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(web), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "web"), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "web")
}

// serve waits until exactly the named containers answer behind what the
// watcher says.
func (h *heard) serve(t *testing.T, names ...string) {
	t.Helper()
	servers.Eventually(t, func() error {
		_, u := h.last()
		if u.Backends.Len() != len(names) {
			return fmt.Errorf("%d backends (%s), rejected %v, want %v", u.Backends.Len(), show(u), u.Rejected, names)
		}
		missing := map[string]bool{}
		for _, n := range names {
			missing[n] = true
		}
		for b := range u.Backends.All() {
			said, err := fetch(t.Context(), "http://"+b.Address())
			if err != nil {
				return err
			}
			if said != b.Name {
				return fmt.Errorf("%s is %q, want %q", b.Address(), said, b.Name)
			}
			delete(missing, said)
		}
		if len(missing) > 0 {
			return fmt.Errorf("missing: %v", missing)
		}
		return nil
	})
}

func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	return string(said), err
}

// TestEngine: containers of a real engine come and go. The interval is an
// hour, so whatever is seen is seen by its events.
func TestEngine(t *testing.T) {
	prefix := fmt.Sprintf("smartstack-story-%d", os.Getpid())
	image, network := "localhost:5000/"+prefix+"/web", prefix+"-net"
	one, two, three := prefix+"-one", prefix+"-two", prefix+"-three"
	exe := program(t)
	importImage(t, image+":1", exe)
	docker(t, nil, "network", "create", network)
	t.Cleanup(func() { docker(t, nil, "network", "rm", network) })

	o := Options{
		ImageName: image, ContainerPort: "8080", Address: "published", Labels: []string{"story=yes"},
		CheckInterval: config.Seconds(time.Hour), List: []Server{{Socket: socket}},
	}
	published, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	o.Address, o.Network = "container", network
	inside, err := New(o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	h, own := run(t, published), run(t, inside)
	h.serve(t)

	start(t, image+":1", one, "-p", "8080", "--label", "story=yes")
	h.serve(t, one)
	start(t, image+":1", two, "-p", "127.0.0.1::8080", "--label", "story=yes", "--network", network)
	start(t, image+":1", prefix+"-unlabelled", "-p", "8080")
	h.serve(t, one, two)
	own.serve(t, two)

	// The tag moves to another image: who runs goes on.
	importImage(t, image+":1", exe)
	start(t, image+":1", three, "-p", "8080", "--label", "story=yes")
	h.serve(t, one, two, three)
	if name := listedImage(t, one); !imageID(name) {
		t.Errorf("the engine lists %s under %q: this test does not see what it should", one, name)
	}

	docker(t, nil, "pause", three)
	h.serve(t, one, two)
	docker(t, nil, "unpause", three)
	h.serve(t, one, two, three)
	docker(t, nil, "network", "connect", network, three)
	own.serve(t, two, three)
	docker(t, nil, "kill", two)
	h.serve(t, one, three)
	docker(t, nil, "restart", "-t", "0", one)
	h.serve(t, one, three)
	docker(t, nil, "rm", "-f", one)
	h.serve(t, three)
	docker(t, nil, "stop", "-t", "0", three)
	h.serve(t)
	own.serve(t)
}

// listedImage returns the name under which the engine lists a container's
// image.
func listedImage(t *testing.T, name string) string {
	t.Helper()
	s := Server{Socket: socket}
	a, err := dockerconn.Connect(s, s.Dial, servers.Deadline)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	all, _, err := a.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name() == name {
			return c.Image
		}
	}
	return ""
}

// TestRecordsAreTrue: the engine's answers have the fields that the recorded
// ones have, so what the fake says is what engines say.
func TestRecordsAreTrue(t *testing.T) {
	name := fmt.Sprintf("smartstack-record-%d", os.Getpid())
	importImage(t, name, program(t))
	start(t, name, name, "-p", "8080")
	s := Server{Socket: socket}
	a, err := dockerconn.Connect(s, s.Dial, servers.Deadline)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	data, err := a.Read(t.Context(), "/containers/json")
	if err != nil {
		t.Fatal(err)
	}
	was, is := shapes(t, recorded(t, "containers.json")), shapes(t, data)
	for _, path := range []string{
		".Id string", ".Names array", ".Image string", ".ImageID string", ".State string", ".Ports array",
		".Labels object", ".HostConfig.NetworkMode string", ".NetworkSettings.Networks object",
	} {
		if !was[path] || !is[path] {
			t.Errorf("%q: recorded %v, answered now %v", path, was[path], is[path])
		}
	}
}

// shapes lists the fields of the entries of a list, with their kinds.
func shapes(t *testing.T, data []byte) map[string]bool {
	t.Helper()
	var all []object
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case object:
			found[path+" object"] = true
			for k, inner := range v {
				walk(path+"."+k, inner)
			}
		case []any:
			found[path+" array"] = true
		case string:
			found[path+" string"] = true
		}
	}
	for _, o := range all {
		walk("", o)
	}
	return found
}
