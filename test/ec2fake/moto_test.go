//go:build docker

package ec2fake

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/internal/service"
	"smartstack/test/servers"
	"smartstack/watchers/ec2tag"
)

// This file holds the fake against an EC2 that is not ours: make test-docker.

// motoImage is made from Debian's package by the target's Dockerfile.
const motoImage = "smartstack-test-moto"

// docker runs the command line client.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput() // not bound to the test's context: it cleans up too
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// moto starts the server and returns its URL.
func moto(t *testing.T) string {
	t.Helper()
	id := docker(t, "run", "-d", motoImage)
	t.Cleanup(func() { docker(t, "rm", "-f", id) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	address := "http://" + docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id) + ":5000"
	servers.Eventually(t, func() error {
		res, err := http.Get(address + "/moto-api/")
		if err == nil {
			res.Body.Close()
		}
		return err
	})
	return address
}

// answered is what a reader takes from an answer of EC2's query API.
type answered struct {
	Instances []described `xml:"reservationSet>item>instancesSet>item"`
	Next      string      `xml:"nextToken"`
	Made      []string    `xml:"instancesSet>item>instanceId"` // by RunInstances
	Errors    []string    `xml:"Errors>Error>Code"`
	Status    int         `xml:"-"`
}

type described struct {
	ID         string `xml:"instanceId"`
	State      string `xml:"instanceState>name"`
	PrivateIP  string `xml:"privateIpAddress"`
	PrivateDNS string `xml:"privateDnsName"`
	Tags       []struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	} `xml:"tagSet>item"`
}

// call sends one form to an EC2, in a way that both take.
func call(t *testing.T, address string, pairs ...string) answered {
	t.Helper()
	form := url.Values{"Version": {"2016-11-15"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answered{Status: res.StatusCode}
	if err := xml.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %v\n%s", form, err, body)
	}
	for i := range a.Instances {
		slices.SortFunc(a.Instances[i].Tags, func(x, y struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		},
		) int {
			return strings.Compare(x.Key, y.Key)
		})
	}
	slices.SortFunc(a.Instances, func(x, y described) int { return strings.Compare(x.ID, y.ID) })
	return a
}

// The same requests to both, and the same answers.
func TestFakeAnswersAsMotoDoes(t *testing.T) {
	real, fake := moto(t), Start(t)
	var ids []string
	for i, tags := range []map[string]string{
		{"role": "web", "env": "prod"},
		{"role": "web"},
		{"role": "db", "note": `<&"' >`},
		{"role": ""},
		{"other": "web"},
		{},
	} {
		pairs := []string{"Action", "RunInstances", "ImageId", "ami-12c6146b", "MinCount", "1", "MaxCount", "1"}
		n := 0
		for key, value := range tags {
			n++
			pairs = append(pairs, "TagSpecification.1.ResourceType", "instance",
				fmt.Sprintf("TagSpecification.1.Tag.%d.Key", n), key, fmt.Sprintf("TagSpecification.1.Tag.%d.Value", n), value)
		}
		made := call(t, real, pairs...)
		if len(made.Made) != 1 {
			t.Fatalf("instance %d: %+v", i, made)
		}
		ids = append(ids, made.Made[0])
	}
	call(t, real, "Action", "StopInstances", "InstanceId.1", ids[1])
	same := func() {
		var all []Instance
		for _, d := range call(t, real, "Action", "DescribeInstances").Instances {
			i := Instance{ID: d.ID, State: d.State, PrivateIP: d.PrivateIP, PrivateDNS: d.PrivateDNS, Tags: map[string]string{}}
			for _, tag := range d.Tags {
				i.Tags[tag.Key] = tag.Value
			}
			all = append(all, i)
		}
		fake.Set(all...)
	}
	same()
	for name, pairs := range map[string][]string{
		"all":                     {},
		"a tag's key":             {"Filter.1.Name", "tag-key", "Filter.1.Value.1", "role"},
		"a key that nobody has":   {"Filter.1.Name", "tag-key", "Filter.1.Value.1", "nobody"},
		"running ones":            {"Filter.1.Name", "instance-state-name", "Filter.1.Value.1", "running"},
		"running ones with a key": {"Filter.1.Name", "tag-key", "Filter.1.Value.1", "role", "Filter.2.Name", "instance-state-name", "Filter.2.Value.1", "running"},
		"the other order":         {"Filter.1.Name", "instance-state-name", "Filter.1.Value.1", "running", "Filter.2.Name", "tag-key", "Filter.2.Value.1", "role"},
		"one of several values":   {"Filter.1.Name", "tag-key", "Filter.1.Value.1", "other", "Filter.1.Value.2", "env"},
		"stopped or running":      {"Filter.1.Name", "instance-state-name", "Filter.1.Value.1", "stopped", "Filter.1.Value.2", "running"},
	} {
		t.Run(name, func(t *testing.T) {
			pairs = append([]string{"Action", "DescribeInstances"}, pairs...)
			want, got := call(t, real, pairs...), call(t, fake.URL, pairs...)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-moto +fake:\n%s", d)
			}
		})
	}
	t.Run("pages", func(t *testing.T) { pages(t, real, fake.URL) })
	t.Run("terminated", func(t *testing.T) {
		call(t, real, "Action", "TerminateInstances", "InstanceId.1", ids[0])
		same()
		pairs := []string{"Action", "DescribeInstances", "Filter.1.Name", "tag-key", "Filter.1.Value.1", "role", "Filter.2.Name", "instance-state-name", "Filter.2.Value.1", "running"}
		if d := cmp.Diff(call(t, real, pairs...), call(t, fake.URL, pairs...)); d != "" {
			t.Errorf("-moto +fake:\n%s", d)
		}
	})
}

// And what our own watcher makes of moto.
func TestWatcherReadsMoto(t *testing.T) {
	Start(t) // for the environment that leads to no other part of AWS
	address := moto(t)
	t.Setenv("AWS_ENDPOINT_URL_EC2", address)
	t.Setenv("AWS_REGION", "us-east-1")
	for _, value := range []string{"web", "web", "db"} {
		call(t, address, "Action", "RunInstances", "ImageId", "ami-12c6146b", "MinCount", "1", "MaxCount", "1", "TagSpecification.1.ResourceType", "instance",
			"TagSpecification.1.Tag.1.Key", "role", "TagSpecification.1.Tag.1.Value", value)
	}
	log := slog.New(slog.DiscardHandler)
	w, err := ec2tag.New(ec2tag.Options{
		TagName: "role", TagValue: config.Optional[string]{Value: "web", Set: true}, Address: "private_ip", CheckInterval: config.Seconds(time.Second),
	}, 8080, ec2poll.NewPool(log), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	var got service.Update
	if err := w.Run(ctx, func(u service.Update) { got = u; cancel() }); err != nil {
		t.Fatal(err)
	}
	if got.Backends.Len() != 2 || got.RejectedTotal != 0 {
		t.Errorf("%+v, want two backends", got)
	}
}

// pages reads all pages of both, of at most two instances each.
func pages(t *testing.T, addresses ...string) {
	var seen [][]string
	for _, address := range addresses {
		var ids []string
		token := ""
		for n := 1; ; n++ {
			pairs := []string{"Action", "DescribeInstances", "MaxResults", "5"} // EC2 takes no less
			if token != "" {
				pairs = append(pairs, "NextToken", token)
			}
			a := call(t, address, pairs...)
			for _, i := range a.Instances {
				ids = append(ids, i.ID)
			}
			if token = a.Next; token == "" {
				if n != 2 {
					t.Errorf("%s gave %d pages of six instances, want 2", address, n)
				}
				break
			}
		}
		slices.Sort(ids)
		seen = append(seen, ids)
	}
	if d := cmp.Diff(seen[0], seen[1]); d != "" {
		t.Errorf("-moto +fake:\n%s", d)
	}
}
