package ec2tag

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/internal/service"
	"smartstack/test/ec2fake"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func value(s string) config.Optional[string] { return config.Optional[string]{Value: s, Set: true} }

// newWatcher makes a watcher that polls fast.
func newWatcher(t *testing.T, o Options, override int, pool *ec2poll.Pool) *Watcher {
	t.Helper()
	if o.Address == "" {
		o.Address = "private_ip"
	}
	w, err := New(o, override, pool, quiet())
	if err != nil {
		t.Fatal(err)
	}
	w.interval = 20 * time.Millisecond
	return w
}

func TestContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		fake := ec2fake.Start(t)
		pool := ec2poll.NewPool(quiet())
		var instances []ec2fake.Instance
		refuse := func(w http.ResponseWriter, _ *http.Request) { ec2fake.Refuse(w, 500, "InternalError", "Oh.") }
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		build := func() service.Watcher {
			return newWatcher(t, Options{TagName: "role", TagValue: value("web"), PortTag: "port"}, 0, pool)
		}
		return watchertest.Registry{
			New: build,
			Set: func(backends ...service.Backend) {
				instances = []ec2fake.Instance{{ID: "i-other", PrivateIP: "10.9.9.9", Tags: map[string]string{"role": "db", "port": "1"}}}
				for _, b := range backends {
					instances = append(instances, ec2fake.Instance{
						ID: "i-" + b.Name, PrivateDNS: b.Name, PrivateIP: b.Host,
						Tags: map[string]string{"role": "web", "port": strconv.Itoa(b.Port)},
					})
				}
				fake.Set(instances...)
			},
			SetBad: func() {
				role := func(port string) map[string]string { return map[string]string{"role": "web", "port": port} }
				fake.Set(append(instances,
					ec2fake.Instance{ID: "i-no-address", Tags: role("80")},
					ec2fake.Instance{ID: "i-no-port", PrivateIP: "10.0.0.7", Tags: map[string]string{"role": "web"}},
					ec2fake.Instance{ID: "i-odd-port", PrivateIP: "10.0.0.7", Tags: role("http")},
					ec2fake.Instance{ID: "i-evil", PrivateIP: "10.0.0.7", PrivateDNS: "a\nserver evil", Tags: role("80")})...)
			},
			Break:  func() func() { fake.Instead(refuse); return func() { fake.Instead(nil) } },
			Silent: func() service.Watcher { fake.Instead(hang); return build() },
		}
	})
}

// once returns the first word of a watcher.
func once(t *testing.T, w *Watcher) service.Update {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	var first service.Update
	if err := w.Run(ctx, func(u service.Update) { first = u; cancel() }); err != nil {
		t.Fatal(err)
	}
	return first
}

// TestClaysExample: the instances of Clay.io's example give the backends that
// the original lists.
func TestClaysExample(t *testing.T) {
	fake := ec2fake.Start(t)
	at := func(n int, tag, is, state string) ec2fake.Instance {
		return ec2fake.Instance{
			ID: fmt.Sprint("i-", n), PrivateIP: fmt.Sprint("10.0.1.", n), PrivateDNS: fmt.Sprintf("ip-10-0-1-%d.ec2.internal", n),
			State: state, Tags: map[string]string{tag: is},
		}
	}
	fake.Set(at(11, "servicename", "true", ""), at(10, "servicename", "true", ""), at(12, "servicename", "false", ""),
		at(13, "other", "true", ""), at(14, "servicename", "true", "stopped"), at(15, "servicename", "true", "pending"),
		at(16, "servicename", "true", "shutting-down"))
	u := once(t, newWatcher(t, Options{TagName: "servicename", TagValue: value("true")}, 50001, ec2poll.NewPool(quiet())))
	want := []service.Backend{
		{Name: "ip-10-0-1-10.ec2.internal", Host: "10.0.1.10", Port: 50001},
		{Name: "ip-10-0-1-11.ec2.internal", Host: "10.0.1.11", Port: 50001},
	}
	if d := cmp.Diff(want, slices.Collect(u.Backends.All())); d != "" || u.RejectedTotal != 0 {
		t.Errorf("(-want +got):\n%s%v", d, u.Rejected)
	}
}

func TestTagsAddressesPorts(t *testing.T) {
	fake := ec2fake.Start(t)
	fake.Set(
		ec2fake.Instance{
			ID: "i-1", PrivateIP: "10.0.0.1", PublicIP: "54.0.0.1", PrivateDNS: "one.internal", IPv6: "2001:db8::1",
			Tags: map[string]string{"role": "web", "env": "prod", "port": "81"},
		},
		ec2fake.Instance{ID: "i-2", PrivateIP: "10.0.0.2", PrivateDNS: "two.internal", Tags: map[string]string{"role": "db", "env": "prod"}},
		ec2fake.Instance{ID: "i-3", PrivateIP: "10.0.0.3", Tags: map[string]string{"role": "web", "env": ""}},
	)
	role, env := Tag{Name: "role", Value: value("web")}, Tag{Name: "env", Value: value("prod")}
	cases := []struct {
		name     string
		o        Options
		override int
		want     string
		rejected int
	}{
		{"one tag", Options{Tags: []Tag{role}}, 80, "one.internal 10.0.0.1:80, 10.0.0.3:80", 0},
		{"any value", Options{TagName: "role"}, 80, "one.internal 10.0.0.1:80, two.internal 10.0.0.2:80, 10.0.0.3:80", 0},
		{"a null is any value", Options{TagName: "env", TagValue: config.Optional[string]{Set: true, Null: true}, Tags: []Tag{role}}, 80, "one.internal 10.0.0.1:80, 10.0.0.3:80", 0},
		{"an empty value is a value", Options{TagName: "env", TagValue: value("")}, 80, "10.0.0.3:80", 0},
		{"two tags", Options{Tags: []Tag{env, role}}, 80, "one.internal 10.0.0.1:80", 0},
		{"name and tags", Options{TagName: "role", TagValue: value("db"), Tags: []Tag{env}}, 80, "two.internal 10.0.0.2:80", 0},
		{"no such tag", Options{TagName: "nobody"}, 80, "", 0},
		{"port from a tag", Options{TagName: "role", PortTag: "port"}, 0, "one.internal 10.0.0.1:81", 2},
		{"port from a tag or the override", Options{TagName: "role", PortTag: "port"}, 80, "one.internal 10.0.0.1:81, two.internal 10.0.0.2:80, 10.0.0.3:80", 0},
		{"public", Options{TagName: "role", Address: "public_ip"}, 80, "one.internal 54.0.0.1:80", 2},
		{"names", Options{TagName: "role", Address: "private_dns"}, 80, "one.internal one.internal:80, two.internal two.internal:80", 1},
		{"ipv6", Options{TagName: "role", Address: "ipv6"}, 80, "one.internal [2001:db8::1]:80", 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			u := once(t, newWatcher(t, c.o, c.override, ec2poll.NewPool(quiet())))
			var got []string
			for b := range u.Backends.All() {
				b.Port = max(b.Port, 1)
				got = append(got, strings.TrimSpace(b.Name+" "+b.Address()))
			}
			if d := cmp.Diff(c.want, strings.Join(got, ", ")); d != "" || u.RejectedTotal != c.rejected {
				t.Errorf("(-want +got):\n%srejected: %v", d, u.Rejected)
			}
		})
	}
}

// TestOneCallForAll: services with other values, tags and ports share a call.
func TestOneCallForAll(t *testing.T) {
	fake := ec2fake.Start(t)
	fake.Set(ec2fake.Instance{ID: "i-1", PrivateIP: "10.0.0.1", Tags: map[string]string{"role": "web", "env": "prod"}})
	pool := ec2poll.NewPool(quiet())
	ctx, cancel := context.WithCancel(t.Context())
	var done []chan error
	spoke := make(chan int, 100)
	for n := range 50 {
		o := Options{Address: "private_ip", TagName: "role", TagValue: value(fmt.Sprint("service", n)), Tags: []Tag{{Name: "env"}}, CheckInterval: config.Seconds(time.Hour)}
		w, err := New(o, 8000+n, pool, quiet())
		if err != nil {
			t.Fatal(err)
		}
		end := make(chan error, 1)
		done = append(done, end)
		go func() { end <- w.Run(ctx, func(service.Update) { spoke <- n }) }()
	}
	for range 50 {
		<-spoke
	}
	cancel()
	for _, end := range done {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("%d calls for 50 services, want 1", n)
	}
}

// TestSecondRunReadsAnew: the hub starts a watcher again to ask whether a loss
// is true; the shared poller's last answer would only repeat it.
func TestSecondRunReadsAnew(t *testing.T) {
	fake := ec2fake.Start(t)
	pool := ec2poll.NewPool(quiet())
	o := Options{TagName: "role"}
	query := ec2poll.Query{Tag: "role"}
	keep := pool.Subscribe(query, time.Hour, false) // another service, which keeps the poller
	defer keep.Close()
	w := newWatcher(t, o, 80, pool)
	w.interval = time.Hour
	if u := once(t, w); u.Backends.Len() != 0 {
		t.Fatal(u)
	}
	fake.Set(ec2fake.Instance{ID: "i-1", PrivateIP: "10.0.0.1", Tags: map[string]string{"role": "web"}})
	if u := once(t, w); u.Backends.Len() != 1 {
		t.Error("the second run repeats the first one's answer")
	}
	if n := len(fake.Calls()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestRunGivesUp: when polls fail for long, Run says where, what and why, and
// never the secret.
func TestRunGivesUp(t *testing.T) {
	fake := ec2fake.Start(t)
	fake.Instead(func(w http.ResponseWriter, _ *http.Request) { ec2fake.Refuse(w, 403, "UnauthorizedOperation", "No.") })
	var log bytes.Buffer
	w := newWatcher(t, Options{TagName: "role", Region: "us-east-1", KeyID: "AKID", Secret: "top-secret"}, 80,
		ec2poll.NewPool(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	w.patience = 200 * time.Millisecond
	var err error
	for range 50 { // on a busy machine the first answer may come too late for the first Run
		err = w.Run(t.Context(), func(u service.Update) { t.Errorf("published %+v", u) })
		if err == nil || !strings.Contains(err.Error(), "no answer yet") {
			break
		}
	}
	for _, part := range []string{"ec2 in us-east-1", `DescribeInstances by tag "role"`, "UnauthorizedOperation", "ec2:DescribeInstances"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %q", err, part)
		}
	}
	if strings.Contains(log.String()+fmt.Sprintf("%+v", err), "top-secret") {
		t.Error("the secret is shown")
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("want one line, got\n%s", &log)
	}
}

func TestNewRefuses(t *testing.T) {
	cases := []struct {
		o        Options
		override int
		reason   string
	}{
		{Options{}, 80, "no tag"},
		{Options{TagValue: value("x")}, 80, "tag_value needs a tag_name"},
		{Options{TagName: "role", Address: "mac"}, 80, `got "mac"`},
		{Options{TagName: "role", KeyID: "AKID"}, 80, "need each other"},
		{Options{TagName: "role"}, 0, "EC2 knows no ports: set backend_port_override"},
		{Options{Tags: []Tag{{}}}, 80, "name of a tag is empty"},
	}
	for _, c := range cases {
		if c.o.Address == "" {
			c.o.Address = "private_ip"
		}
		if _, err := New(c.o, c.override, nil, quiet()); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.reason)
		}
	}
}

// TestDecode reads options as the originals' files hold them.
func TestDecode(t *testing.T) {
	cases := []struct {
		text     string
		tags     int
		interval time.Duration
	}{
		{`{"tag_name": "servicename", "tag_value": "true", "check_interval": 120.0}`, 1, 2 * time.Minute},
		{`{"tag_name": "servicename", "tag_value": true, "aws_region": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}`, 1, 15 * time.Second},
		{`{"tag_name": "servicename", "tag_value": 7, "check_interval": "0.1", "tags": [{"name": "env", "value": "prod"}, {"name": "any"}]}`, 3, time.Second},
	}
	for _, c := range cases {
		n, err := config.Parse("x.json", []byte(c.text), config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var o Options
		r := &config.Report{Strict: true}
		n.Decode(&o, r)
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		w, err := New(o, 80, nil, quiet())
		if err != nil || len(w.tags) != c.tags || w.interval != c.interval || w.tags[0].value == "" {
			t.Errorf("%s: %+v, %v", c.text, w, err)
		}
	}
}
