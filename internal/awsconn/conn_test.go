package awsconn

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a stand-in for STS, the container's endpoint and the metadata of
// the instance. It answers everyone with keys whose id tells who asked.
type cloud struct {
	URL   string
	calls []string
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	c.calls = append(c.calls, r.Method+" "+r.URL.Path+" "+r.PostForm.Get("RoleArn")+" "+r.Header.Get("Authorization"))
	const keys = `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}`
	switch action := r.PostForm.Get("Action"); {
	case action != "":
		auth := r.Header.Get("Authorization")
		if signed := strings.Contains(auth, "/eu-west-1/sts/aws4_request"); signed == (r.PostForm.Get("WebIdentityToken") == "token") {
			w.WriteHeader(http.StatusForbidden)
			auth = ""
		}
		_, by, _ := strings.Cut(auth, "Credential=")
		by, _, _ = strings.Cut(by, "/")
		fmt.Fprintf(w, stsAnswer, action, r.PostForm.Get("RoleArn")+" by "+by+" "+r.PostForm.Get("ExternalId"), action)
	case r.URL.Path == "/keys":
		fmt.Fprintf(w, keys, "container "+r.Header.Get("Authorization"))
	case r.URL.Path == "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
		fmt.Fprint(w, "v2")
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "v2":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
		fmt.Fprint(w, "host")
	case r.URL.Path == "/latest/meta-data/iam/security-credentials/host":
		fmt.Fprintf(w, keys, "instance")
	case r.URL.Path == "/latest/dynamic/instance-identity/document":
		fmt.Fprint(w, `{"region": "eu-central-1"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

const stsAnswer = `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult>
<Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>
</%[3]sResult></%[1]sResponse>`

// start empties the environment of AWS, writes the files, and lets everything
// lead to the stand-in.
func start(t *testing.T, config, keys string, env map[string]string) *cloud {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	c := &cloud{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".aws", "config"), config)
	write(t, filepath.Join(dir, ".aws", "credentials"), keys)
	write(t, filepath.Join(dir, "token"), "token")
	t.Setenv("HOME", dir)
	t.Setenv("AWS_ENDPOINT_URL_STS", c.URL)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", c.URL)
	for name, value := range env {
		t.Setenv(name, strings.NewReplacer("CLOUD", c.URL, "HOME", dir).Replace(value))
	}
	return c
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

type env map[string]string

var cases = []struct {
	name, config, keys string
	env                env
	options            Options
	id                 string // of the keys that are found
	fault              string // instead
}{
	{name: "options", options: Options{KeyID: "own", Secret: "s"}, env: env{"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "s"}, id: "own"},
	{name: "environment", env: env{"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "s"}, keys: "[default]\naws_access_key_id=p\naws_secret_access_key=s", id: "e"},
	{name: "old names", env: env{"AWS_ACCESS_KEY": "e", "AWS_SECRET_KEY": "s"}, id: "e"},
	{name: "half an environment", env: env{"AWS_ACCESS_KEY_ID": "e"}, id: "instance"},
	{name: "default profile", keys: "[default]\naws_access_key_id = p # mine\naws_secret_access_key = 's'", id: "p"},
	{name: "keys in config", config: "[profile a]\naws_access_key_id=c\naws_secret_access_key=s", env: env{"AWS_PROFILE": "a"}, id: "c"},
	{name: "credentials before config", config: "[default]\naws_access_key_id=c\naws_secret_access_key=s", keys: "[default]\naws_access_key_id=k\naws_secret_access_key=s", id: "k"},
	{name: "other files", env: env{"AWS_SHARED_CREDENTIALS_FILE": "HOME/token"}, keys: "[default]\naws_access_key_id=k\naws_secret_access_key=s", id: "instance"},
	{name: "no such profile", env: env{"AWS_PROFILE": "gone"}, fault: `AWS_PROFILE: no profile "gone" in `},
	{name: "half a profile", keys: "[default]\naws_access_key_id=k", fault: "needed together"},
	{name: "sso", config: "[profile me]\nsso_session=x\n[sso-session x]\nsso_region=eu-west-1", env: env{"AWS_PROFILE": "me"}, fault: `the AWS profile "me" has sso_… or login_session: a login by browser is not supported`},
	{name: "sso, unused", config: "[default]\nsso_start_url=x", env: env{"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "s"}, id: "e"},
	{name: "login", config: "[default]\nlogin_session=arn:x", fault: `"default" has sso_… or login_session`},
	{name: "process", config: `[default]` + "\n" + `credential_process = echo '{"Version":1,"AccessKeyId":"program","SecretAccessKey":"s"}'`, id: "program"},
	{name: "role", config: "[default]\nrole_arn=arn:r\nsource_profile=base\nexternal_id=x\nduration_seconds=900", keys: "[base]\naws_access_key_id=b\naws_secret_access_key=s", id: "arn:r by b x"},
	{name: "role of itself", config: "[default]\nrole_arn=arn:r\nsource_profile=default", keys: "[default]\naws_access_key_id=b\naws_secret_access_key=s", id: "arn:r by b "},
	{name: "role of a role", config: "[default]\nrole_arn=arn:2\nsource_profile=one\n[profile one]\nrole_arn=arn:1\nsource_profile=base", keys: "[base]\naws_access_key_id=b\naws_secret_access_key=s", id: "arn:2 by arn:1 by b  "},
	{name: "role from the instance", config: "[default]\nrole_arn=arn:r\ncredential_source=Ec2InstanceMetadata", id: "arn:r by instance "},
	{name: "role from the container", config: "[default]\nrole_arn=arn:r\ncredential_source=EcsContainer", env: env{fullURI: "CLOUD/keys"}, id: "arn:r by container  "},
	{name: "role without its container", config: "[default]\nrole_arn=arn:r\ncredential_source=EcsContainer", fault: "neither " + relativeURI},
	{name: "role from no environment", config: "[default]\nrole_arn=arn:r\ncredential_source=Environment", fault: "AWS_SECRET_ACCESS_KEY are not set"},
	{name: "role from anywhere", config: "[default]\nrole_arn=arn:r\ncredential_source=Moon", fault: `got "Moon"`},
	{name: "role from nobody", config: "[default]\nrole_arn=arn:r\nsource_profile=gone", fault: `the AWS profile "default": source_profile: there is no profile "gone"`},
	{name: "circle", config: "[default]\nrole_arn=arn:r\nsource_profile=a\n[profile a]\nrole_arn=arn:a\nsource_profile=default", fault: `leads back to "default"`},
	{name: "two ways", config: "[default]\nrole_arn=arn:r\nsource_profile=a\ncredential_source=Environment", fault: "got 2"},
	{name: "second factor", config: "[default]\nrole_arn=arn:r\ncredential_source=Ec2InstanceMetadata\nmfa_serial=x", fault: "has mfa_serial"},
	{name: "duration", config: "[default]\nrole_arn=arn:r\ncredential_source=Ec2InstanceMetadata\nduration_seconds=1h", fault: `got "1h"`},
	{name: "web identity", env: env{"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/token", "AWS_ROLE_ARN": "arn:w"}, id: "arn:w by  "},
	{name: "web identity without a role", env: env{"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/token"}, fault: "set AWS_ROLE_ARN"},
	{name: "web identity without its file", env: env{"AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/gone", "AWS_ROLE_ARN": "arn:w"}, fault: "AssumeRoleWithWebIdentity of arn:w at http"},
	{name: "container", env: env{fullURI: "CLOUD/keys", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret"}, id: "container secret"},
	{name: "container with a file", env: env{fullURI: "CLOUD/keys", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "HOME/token"}, id: "container token"},
	{name: "container elsewhere", env: env{fullURI: "http://192.0.2.1/keys"}, fault: fullURI + ": 192.0.2.1 is at 192.0.2.1: without https"},
	{name: "container nowhere", env: env{fullURI: "keys"}, fault: "want the URL of a host"},
	{name: "instance", id: "instance"},
	{name: "no metadata", env: env{"AWS_EC2_METADATA_DISABLED": "true"}, fault: "AWS_EC2_METADATA_DISABLED"},
	{name: "neither true nor false", env: env{"AWS_USE_FIPS_ENDPOINT": "maybe"}, fault: `AWS_USE_FIPS_ENDPOINT (or use_fips_endpoint in the AWS profile "default"): want true or false, got "maybe"`},
	{name: "no mode", env: env{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv5"}, fault: "ENDPOINT_MODE"},
	{name: "no bundle", env: env{"AWS_CA_BUNDLE": "HOME/token"}, fault: "holds no certificate"},
	{name: "lost bundle", env: env{"AWS_CA_BUNDLE": "HOME/gone"}, fault: "AWS_CA_BUNDLE"},
}

// TestWhereCredentialsComeFrom walks down the chain.
func TestWhereCredentialsComeFrom(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cloud := start(t, c.config, c.keys, c.env)
			c.options.Region = "eu-west-1"
			conf, err := Find(t.Context(), c.options)
			var keys aws.Credentials
			if err == nil {
				keys, err = conf.Credentials.Retrieve(t.Context())
			}
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil || keys.AccessKeyID != c.id {
				t.Fatalf("got %q, %v, want %q", keys.AccessKeyID, err, c.id)
			}
			calls := len(cloud.calls)
			if _, err := conf.Credentials.Retrieve(t.Context()); err != nil || len(cloud.calls) != calls {
				t.Errorf("asked again, %v", err)
			}
		})
	}
}

func TestRegion(t *testing.T) {
	for _, c := range []struct {
		options Options
		env     env
		want    string
	}{
		{Options{Region: "r"}, env{"AWS_REGION": "e"}, "r"},
		{Options{FallbackRegion: "f"}, env{"AWS_REGION": "e", "AWS_DEFAULT_REGION": "d"}, "e"},
		{Options{FallbackRegion: "f"}, env{"AWS_DEFAULT_REGION": "d"}, "d"},
		{Options{FallbackRegion: "f"}, env{"AWS_PROFILE": "p"}, "profile"},
		{Options{FallbackRegion: "f"}, nil, "f"},
		{Options{}, nil, "eu-central-1"},
	} {
		start(t, "[profile p]\nregion=profile", "", c.env)
		if conf, err := Find(t.Context(), c.options); err != nil || conf.Region != c.want {
			t.Errorf("%+v %v: got %q, %v, want %q", c.options, c.env, conf.Region, err, c.want)
		}
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		t.Setenv("AWS_PROFILE", "")
	}
	start(t, "", "", env{"AWS_EC2_METADATA_DISABLED": "true"})
	if _, err := Find(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "find the region: neither aws_region") {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	const profile = "[default]\nservices=here\nendpoint_url=all-profile\n[services here]\ns3 =\n  endpoint_url = s3-profile\nec2 =\n  endpoint_url = ec2-profile\n"
	for _, c := range []struct {
		config, service string
		env             env
		want            string
	}{
		{profile, "S3", env{"AWS_ENDPOINT_URL": "all", "AWS_ENDPOINT_URL_S3": "s3", "AWS_ENDPOINT_URL_EC2": "ec2"}, "s3"},
		{profile, "EC2", env{"AWS_ENDPOINT_URL": "all", "AWS_ENDPOINT_URL_S3": "s3"}, "all"},
		{profile, "EC2", nil, "ec2-profile"},
		{profile, "STS", nil, "all-profile"},
		{"", "S3", nil, ""},
		{profile, "S3", env{"AWS_ENDPOINT_URL_S3": "s3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, ""},
	} {
		t.Run(c.want, func(t *testing.T) {
			start(t, c.config, "", c.env)
			t.Setenv("AWS_ENDPOINT_URL_STS", "")
			conf, err := Find(t.Context(), Options{Region: "r", Service: c.service})
			if got := aws.ToString(conf.BaseEndpoint); err != nil || got != c.want {
				t.Errorf("%s, %v: got %q, %v, want %q", c.service, c.env, got, err, c.want)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	start(t, "", "", env{"AWS_CA_BUNDLE": "HOME/ca.pem"})
	write(t, os.Getenv("AWS_CA_BUNDLE"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	conf, err := Find(t.Context(), Options{Region: "r"})
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: Transport(conf)}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL, http.NoBody)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if v := Transport(conf).TLSClientConfig.MinVersion; v < tls.VersionTLS12 {
		t.Errorf("allows TLS %x", v)
	}
}

// TestWhatClientsAsk: the clients of the library find their own settings.
func TestWhatClientsAsk(t *testing.T) {
	start(t, "[default]\nuse_dualstack_endpoint=true\nec2_metadata_v1_disabled=TRUE", "", env{"AWS_USE_FIPS_ENDPOINT": "true"})
	s, err := readSettings(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	fips, _, _ := s.GetUseFIPSEndpoint(t.Context())
	dual, _, _ := s.GetUseDualStackEndpoint(t.Context())
	v1off, _ := s.GetEC2IMDSV1FallbackDisabled()
	if fips != aws.FIPSEndpointStateEnabled || dual != aws.DualStackEndpointStateEnabled || !v1off {
		t.Error(fips, dual, v1off)
	}
}

func TestMayAsk(t *testing.T) {
	for place, may := range map[string]bool{
		"http://127.0.0.1:1/x": true, "http://[::1]/x": true, "http://169.254.170.23/v1": true, "http://[fd00:ec2::23]/v1": true,
		"https://192.0.2.1/x": true, "http://192.0.2.1/x": false, "http://169.254.169.254/x": false, "ftp://127.0.0.1/x": false, "http://": false, ":": false,
	} {
		if err := mayAsk(t.Context(), place); (err == nil) != may {
			t.Errorf("%s: %v", place, err)
		}
	}
}
