package http

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// serve starts a server that may speak HTTP/2, with TLS when tls is given.
func serve(t *testing.T, network, addr string, tlsConfig *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetHTTP2(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	_ = srv.Listener.Close()
	srv.Listener = l
	if tlsConfig == nil {
		srv.Start()
	} else {
		srv.TLS, srv.EnableHTTP2 = tlsConfig, true
		srv.StartTLS()
	}
	t.Cleanup(srv.Close)
	return l.Addr().String()
}

// says answers with the protocol that was spoken.
func says(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.URL)
}

func TestContract(t *testing.T) {
	pki := checktest.NewPKI(t)
	secured := &tls.Config{Certificates: []tls.Certificate{pki.Server.Load(t)}}
	dir := t.TempDir()
	for name, edit := range map[string]func(*Options){
		"HTTP1.1": func(*Options) {},
		"HTTP2":   func(o *Options) { o.HTTP2 = true },
		"TLS":     func(o *Options) { o.SSL, o.Verify, o.CAFile, o.ServerName = true, true, pki.CA, "localhost" },
	} {
		t.Run(name, func(t *testing.T) {
			var conf *tls.Config
			if name == "TLS" {
				conf = secured
			}
			sock := filepath.Join(dir, name)
			serve(t, "unix", sock, conf, says)
			checktest.Run(t, checktest.Subject{
				New: func(t *testing.T, target checkconn.Target) service.Check {
					o := options("127.0.0.1:1")
					o.Host, o.Port, o.Socket = target.Host, target.Port, target.Socket
					edit(&o)
					return build(t, o)
				},
				Healthy: serve(t, "tcp", "127.0.0.1:0", conf, says),
				Socket:  sock,
			})
		})
	}
}

func TestProtocols(t *testing.T) {
	pki := checktest.NewPKI(t)
	pem, err := os.ReadFile(pki.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	addr := serve(t, "tcp", "127.0.0.1:0", nil, says)
	secured := serve(t, "tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pki.Server.Load(t)}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}, says)
	old := serve(t, "tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pki.Server.Load(t)}, NextProtos: []string{"http/1.1"}}, says)

	o := options(addr)
	o.URI, o.Expect = "/a%20b?c=d", "HTTP/1.1 "+addr+" /a%20b?c=d"
	checktest.WantEnd(t, build(t, o), "")
	o.HTTP2, o.Expect = true, "HTTP/2.0 "+addr+" /a%20b?c=d"
	checktest.WantEnd(t, build(t, o), "")
	o.Headers = config.Map[string]{{Key: "host", Value: "shop"}}
	o.Expect = "HTTP/2.0 shop"
	checktest.WantEnd(t, build(t, o), "")

	o = options(secured)
	o.SSL, o.Verify, o.CAFile, o.CertFile, o.KeyFile = true, true, pki.CA, pki.Client.Cert, pki.Client.Key
	o.Expect = "HTTP/1.1"
	checktest.WantEnd(t, build(t, o), "")
	o.HTTP2, o.Expect = true, "HTTP/2.0"
	checktest.WantEnd(t, build(t, o), "")
	o.CertFile, o.KeyFile = "", ""
	checktest.WantEnd(t, build(t, o), "reading the answer")
	o.ServerName = "example.org"
	checktest.WantEnd(t, build(t, o), "example.org")

	o = options(old) // asked for HTTP/2, it chooses the older one
	o.SSL, o.HTTP2, o.Expect = true, true, "HTTP/1.1"
	checktest.WantEnd(t, build(t, o), "")
}

func TestCodes(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "body")
	})
	for _, tc := range []struct {
		uri             string
		codes, degraded []string
		want            string
	}{
		{"/204", []string{"200-299,404"}, nil, ""},
		{"/404", []string{"200-299,404"}, nil, ""},
		{"/302", []string{"200-299", "404"}, nil, "302"},
		{"/404", []string{"100-499"}, nil, ""},
		{"/500", []string{"100-499"}, nil, "500"},
		{"/429", nil, []string{"429"}, "429"},
		{"/200", nil, []string{"200-299"}, "200"},
	} {
		for _, two := range []bool{false, true} {
			o := options(addr)
			o.URI, o.Codes, o.Degraded, o.HTTP2 = tc.uri, tc.codes, tc.degraded, two
			_, degraded := service.AsDegraded(checktest.WantEnd(t, build(t, o), tc.want))
			if degraded != (tc.degraded != nil) {
				t.Errorf("%+v: degraded is %v", tc, degraded)
			}
		}
	}
}

func TestBodies(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "status: green\nlag: 17\n")
	})
	for _, two := range []bool{false, true} {
		for _, tc := range []struct {
			expect, pattern string
			most            int64
			want            string
		}{
			{"green", `(?m)^lag: \d{1,2}$`, 1 << 20, ""},
			{"", `(?m)^lag: \d$`, 1 << 20, "does not match"},
			{"red", `lag`, 1 << 20, `does not contain "red"`},
			{"green", "", 10, "over the limit of 10 bytes"},
			{"", "", 10, "over the limit of 10 bytes"},
		} {
			o := options(addr)
			o.Expect, o.Pattern, o.MaxResponse, o.HTTP2 = tc.expect, tc.pattern, tc.most, two
			checktest.WantEnd(t, build(t, o), tc.want)
		}
	}
}

func TestRedirects(t *testing.T) {
	other := serve(t, "tcp", "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "other %s %q", r.URL, r.Header["X-Secret"])
	})
	sock := filepath.Join(t.TempDir(), "s")
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/relative":
			http.Redirect(w, r, "here?a=b", http.StatusFound)
		case "/absolute":
			http.Redirect(w, r, "http://"+r.Host+"/here", http.StatusTemporaryRedirect)
		case "/other":
			http.Redirect(w, r, "http://"+other+"/there", http.StatusMovedPermanently)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusSeeOther)
		case "/nowhere":
			w.Header()["Location"] = []string{"ftp://example.org/"}
			w.WriteHeader(http.StatusFound)
		case "/broken":
			http.Redirect(w, r, "http://127.0.0.1:99999/", http.StatusFound)
		case "/silent":
			w.WriteHeader(http.StatusFound)
		default:
			fmt.Fprintf(w, "here %s %q", r.URL, r.Header["X-Secret"])
		}
	}
	serve(t, "unix", sock, nil, handler)
	addr := serve(t, "tcp", "127.0.0.1:0", nil, handler)
	for _, tc := range []struct {
		uri    string
		most   int
		expect string
		want   string
	}{
		{"/relative", 0, "", ""},
		{"/relative", 1, `here /here?a=b ["x"]`, ""},
		{"/absolute", 1, `here /here ["x"]`, ""},
		{"/other", 1, `other /there []`, ""},
		{"/loop", 3, "", `still redirected, to "/loop", after follow_redirects 3`},
		{"/nowhere", 1, "", "no place to go"},
		{"/broken", 1, "", "port: want 1 to 65535"},
		{"/silent", 1, "", ""}, // a redirect to nowhere is an answer like any other
	} {
		for _, two := range []bool{false, true} {
			for _, socket := range []string{"", sock} {
				o := options(addr)
				o.URI, o.Redirects, o.Expect, o.HTTP2, o.Socket = tc.uri, tc.most, tc.expect, two, socket
				if tc.uri == "/other" && two {
					continue // the other one would be asked in HTTP/2 as well, which it speaks
				}
				o.Headers = config.Map[string]{{Key: "x-secret", Value: "x"}}
				checktest.WantEnd(t, build(t, o), tc.want)
			}
		}
	}
}

func TestRefusedOptions(t *testing.T) {
	for want, edit := range map[string]func(*Options){
		"expected_codes":   func(o *Options) { o.Codes = []string{"2xx"} },
		"degraded_codes":   func(o *Options) { o.Degraded = []string{"600"} },
		"expect_regexp":    func(o *Options) { o.Pattern = "(" },
		"follow_redirects": func(o *Options) { o.Redirects = 11 },
		"max_response":     func(o *Options) { o.MaxResponse = 0 },
		"ssl_cert_file":    func(o *Options) { o.SSL, o.CertFile = true, "x" },
		"\"uri\" is requ":  func(o *Options) { o.URI = "" },
	} {
		o := options("127.0.0.1:80")
		edit(&o)
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
