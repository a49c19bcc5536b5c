package haproxy

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// optional is a key that is there.
func optional[T any](v T) config.Optional[T] { return config.Optional[T]{Value: v, Set: true} }

func TestServerLine(t *testing.T) {
	web := service.Backend{Name: "web", Host: "10.0.0.1", Port: 80}
	with := func(f func(*service.Backend)) service.Backend { b := web; f(&b); return b }
	known := service.KnownInt
	for name, c := range map[string]struct {
		top     Options
		options ServiceOptions
		backend service.Backend
		gone    bool
		want    string // behind "server web_10.0.0.1:80 10.0.0.1:80", where it begins with a space
		warning string
	}{
		"nothing set": {backend: web, want: " id 1 cookie web_10.0.0.1:80 "},
		"null server_options": {
			options: ServiceOptions{ServerOptions: config.Optional[string]{Set: true, Null: true}},
			backend: web, want: " id 1 cookie web_10.0.0.1:80",
		},
		"options on both sides": {
			options: ServiceOptions{ServerOptions: optional("check port %{port}")},
			backend: with(func(b *service.Backend) { b.ServerOptions = "maxconn 3 source %{host}" }),
			want:    " id 1 cookie web_10.0.0.1:80 check port 80 maxconn 3 source 10.0.0.1",
		},
		"backend's options alone": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "maxconn 3" }),
			want:    " id 1 cookie web_10.0.0.1:80  maxconn 3",
		},
		"stray percent": {
			options: ServiceOptions{ServerOptions: optional("slowstart 100% x")},
			backend: web, want: " id 1 cookie web_10.0.0.1:80 slowstart 100% x",
		},
		"tcp has no cookie": {
			options: ServiceOptions{Backend: []string{"mode tcp"}},
			backend: web, want: " id 1 ",
		},
		"only exactly mode tcp": {
			options: ServiceOptions{Backend: []string{"mode  tcp"}},
			backend: web, want: " id 1 cookie web_10.0.0.1:80 ",
		},
		"hashed cookie": {
			options: ServiceOptions{CookieValueMethod: "hash"},
			backend: web, want: " id 1 cookie 57ae697ca918808b8a9ce8b1b045f41c6e7ac6f3 ",
		},
		"backup": {
			options: ServiceOptions{ServerOptions: optional("check")},
			backend: with(func(b *service.Backend) { b.Backup = true }),
			want:    " backup id 1 cookie web_10.0.0.1:80 check",
		},
		"backup twice": {
			backend: with(func(b *service.Backend) { b.Backup, b.ServerOptions = true, "backup" }),
			want:    " id 1 cookie web_10.0.0.1:80  backup",
		},
		"id in the options": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "id 12 backup" }),
			want:    " cookie web_10.0.0.1:80  id 12 backup",
		},
		"id asked for": {
			backend: with(func(b *service.Backend) { b.ServerID = 77 }),
			want:    " id 77 cookie web_10.0.0.1:80 ",
		},
		"id that is none": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "check id 0" }),
			want:    " id 1 cookie web_10.0.0.1:80 check", warning: "no free id",
		},
		"id without a number": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "check id" }),
			want:    " id 1 cookie web_10.0.0.1:80 check", warning: "no free id",
		},
		"weights are off": {
			backend: with(func(b *service.Backend) { b.Weight = known(7) }),
			want:    " id 1 cookie web_10.0.0.1:80 ",
		},
		"weight": {
			top:     Options{UseNerveWeights: true},
			options: ServiceOptions{ServerOptions: optional("check  weight 50 inter 2s")},
			backend: with(func(b *service.Backend) { b.Weight, b.ServerOptions = known(7), "weight 3  backup" }),
			want:    " id 1 cookie web_10.0.0.1:80 check inter 2s backup weight 7",
		},
		"weight for this service": {
			options: ServiceOptions{UseNerveWeights: optional(true)},
			backend: with(func(b *service.Backend) { b.Weight = known(0) }),
			want:    " id 1 cookie web_10.0.0.1:80 weight 0",
		},
		"weight not for this service": {
			top:     Options{UseNerveWeights: true},
			options: ServiceOptions{UseNerveWeights: optional(false)},
			backend: with(func(b *service.Backend) { b.Weight = known(0) }),
			want:    " id 1 cookie web_10.0.0.1:80 ",
		},
		"weight too large": {
			top:     Options{UseNerveWeights: true},
			backend: with(func(b *service.Backend) { b.Weight = known(1000) }),
			want:    " id 1 cookie web_10.0.0.1:80 weight 256", warning: "lowered",
		},
		"weight in the options too large": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "weight 300" }),
			want:    " id 1 cookie web_10.0.0.1:80  weight 256", warning: "lowered",
		},
		"too many words": {
			backend: with(func(b *service.Backend) { b.ServerOptions = strings.Repeat("check ", 70) }),
			want:    " id 1 cookie web_10.0.0.1:80 ", warning: "words",
		},
		"remembered": {backend: web, gone: true, want: " cookie web_10.0.0.1:80  disabled"},
		"remembered and disabled": {
			backend: with(func(b *service.Backend) { b.ServerOptions = "disabled" }), gone: true,
			want: " cookie web_10.0.0.1:80  disabled",
		},
		"no name": {
			backend: service.Backend{Host: "10.0.0.1", Port: 80},
			want:    "server 10.0.0.1:80 10.0.0.1:80 id 1 cookie 10.0.0.1:80 ",
		},
		"IPv6": {
			backend: service.Backend{Name: "web", Host: "fe80::1%eth0", Port: 80},
			want:    "server web_fe80::1_eth0:80 [fe80::1%eth0]:80 id 1 cookie web_fe80::1_eth0:80 ",
		},
		"characters that HAProxy refuses": {
			backend: service.Backend{Name: "a/b=c,é", Host: "10.0.0.1", Port: 80},
			want:    "server a_b_c___10.0.0.1:80 10.0.0.1:80 id 1 cookie a_b_c___10.0.0.1:80 ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var warnings []string
			warn := func(reason string) { warnings = append(warnings, reason) }
			l := newLayout(&c.top, "web", &c.options, false)
			s := l.server(legalName(serverName(&c.backend)), &c.backend, !c.gone, warn)
			assignIDs([]claim{{server: &s, live: !c.gone, asked: c.backend.ServerID}}, nil, nil, 100, warn)
			want := c.want
			if want[0] == ' ' {
				want = "server web_10.0.0.1:80 10.0.0.1:80" + want
			}
			if got := s.Line(); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, c.warning) || (c.warning == "") != (got == "") {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}

func TestServerWords(t *testing.T) {
	l := newLayout(&Options{}, "web", &ServiceOptions{ServerOptions: optional("check weight 5")}, false)
	b := service.Backend{Host: "h", Port: 1, ServerOptions: "backup disabled weight 9"}
	s := l.server("h:1", &b, true, func(string) {})
	if !s.Backup || !s.Disabled || s.Weight != service.KnownInt(9) || s.Cookie != "h:1" {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(strings.Fields("check weight 5 backup disabled weight 9"), s.Words()); diff != "" {
		t.Error(diff)
	}
	socket := Server{Name: "s", Host: "unix@/run/s.sock", Port: 1}
	if got := socket.Line(); got != "server s unix@/run/s.sock" {
		t.Errorf("socket: %q", got)
	}
}

func TestServerNamesDiffer(t *testing.T) {
	backends := []service.Backend{
		{Name: "a/b", Host: "10.0.0.1", Port: 80},
		{Name: "a_b", Host: "10.0.0.1", Port: 80},
		{Name: "a=b", Host: "10.0.0.1", Port: 80},
		{Name: "", Host: "a_h", Port: 80},
		{Name: "a", Host: "h", Port: 80},
		{Name: "hand", Host: "h", Port: 80},
	}
	taken := map[string]bool{"hand_h:80": true}
	names := serverNames(backends, taken)
	if names[1] != "a_b_10.0.0.1:80" || names[3] != "a_h:80" {
		t.Errorf("the legal names changed: %q", names)
	}
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] || taken[n] {
			t.Errorf("%q twice in %q", n, names)
		}
		seen[n] = true
	}
	slices.Reverse(backends)
	reversed := serverNames(backends, taken)
	slices.Reverse(reversed)
	if diff := cmp.Diff(names, reversed); diff != "" {
		t.Error("the names depend on the order:", diff)
	}
}

func TestAssignIDs(t *testing.T) {
	type in struct {
		options         string
		live            bool
		asked, recalled int
	}
	for name, c := range map[string]struct {
		in       []in
		reserved []int
		limit    int
		want     []int
		warnings int
	}{
		"lowest free":             {in: []in{{live: true}, {live: true}, {live: true}}, want: []int{1, 2, 3}},
		"explicit comes first":    {in: []in{{live: true}, {live: true, options: " id 1"}}, want: []int{2, 1}},
		"explicit before asked":   {in: []in{{live: true, asked: 4}, {live: true, options: " id 4"}}, want: []int{1, 4}, warnings: 1},
		"asked before recalled":   {in: []in{{live: true, recalled: 4}, {live: true, asked: 4}}, want: []int{1, 4}},
		"recalled":                {in: []in{{live: true, recalled: 9}, {live: true}}, want: []int{9, 1}},
		"gone keeps its id":       {in: []in{{recalled: 1}, {live: true}}, want: []int{1, 2}},
		"gone gets no new id":     {in: []in{{}, {live: true}}, want: []int{0, 1}},
		"live wins":               {in: []in{{recalled: 1}, {live: true, recalled: 1}}, want: []int{0, 1}},
		"explicit twice":          {in: []in{{live: true, options: " id 5"}, {live: true, options: " check id 5"}}, want: []int{5, 1}, warnings: 1},
		"two ids on one line":     {in: []in{{live: true, options: " id 5 id 6"}}, want: []int{1}, warnings: 1},
		"over what HAProxy takes": {in: []in{{live: true, options: " id 2147483648"}}, want: []int{1}, warnings: 1},
		"hand-written servers":    {in: []in{{live: true}, {live: true, options: " id 2"}}, reserved: []int{1, 2}, want: []int{3, 4}, warnings: 1},
		"ran out":                 {in: []in{{live: true}, {live: true}, {live: true}}, limit: 2, want: []int{1, 2, 0}, warnings: 1},
	} {
		t.Run(name, func(t *testing.T) {
			servers, claims := make([]Server, len(c.in)), make([]claim, len(c.in))
			for i, x := range c.in {
				servers[i] = Server{Options: x.options}
				claims[i] = claim{server: &servers[i], live: x.live, asked: x.asked, recalled: x.recalled}
			}
			reserved := map[int]bool{}
			for _, id := range c.reserved {
				reserved[id] = true
			}
			warnings := 0
			assignIDs(claims, reserved, nil, max(c.limit, 100*(1-min(c.limit, 1))), func(string) { warnings++ })
			var got []int
			for i, s := range servers {
				got = append(got, s.ID)
				if c.in[i].options != "" && s.ID != 0 && !strings.Contains(s.Line(), " id "+strconv.Itoa(s.ID)) {
					t.Errorf("line %q has another id than %d", s.Line(), s.ID)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if warnings != c.warnings {
				t.Errorf("%d warnings, want %d", warnings, c.warnings)
			}
		})
	}
}
