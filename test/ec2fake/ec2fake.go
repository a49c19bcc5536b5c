// Package ec2fake is a small EC2 for tests: DescribeInstances of the query
// API, with filters, pages and the ways in which it fails.
//
//	fake := ec2fake.Start(t) // and AWS's own environment variables lead to it
//	fake.Set(ec2fake.Instance{ID: "i-1", PrivateIP: "10.0.0.1", Tags: map[string]string{"role": "web"}})
package ec2fake

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Instance is one instance of the account. An empty State means running.
type Instance struct {
	ID, State, PrivateIP, PublicIP, PrivateDNS, IPv6 string
	Tags                                             map[string]string
}

// Server is the fake. It may be used from any goroutine.
type Server struct {
	URL string

	mu        sync.Mutex
	instances []Instance
	pageSize  int
	calls     []Call
	instead   http.HandlerFunc
}

// Call is one call that the fake got.
type Call struct {
	Form   url.Values
	Signed string // the Authorization header
}

// Start runs a fake until the test ends, and lets the environment of the test
// lead to it and to no other part of AWS.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{pageSize: 1000}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.URL = web.URL
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_EC2": s.URL, "AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "environment-secret", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_MAX_ATTEMPTS": "", "AWS_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": "", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

// Set makes these the account's instances.
func (s *Server) Set(instances ...Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances = slices.Clone(instances)
}

// PageSize bounds pages to n instances.
func (s *Server) PageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// Instead lets handle answer all calls; nil ends that.
func (s *Server) Instead(handle http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = handle
}

// Calls returns the calls so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ServeHTTP answers as EC2 does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, Call{Form: r.PostForm, Signed: r.Header.Get("Authorization")})
	instead := s.instead
	body := s.answer(r.PostForm)
	s.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case r.PostForm.Get("Action") != "DescribeInstances":
		Refuse(w, http.StatusBadRequest, "InvalidAction", "The action is not valid for this web service.")
	default:
		w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
		_, _ = w.Write(body)
	}
}

// Refuse answers with an error in EC2's form.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>`, code, message)
}

// answer is one page of what passes the filters. The caller holds mu.
func (s *Server) answer(form url.Values) []byte {
	var passed []Instance
	for _, i := range s.instances {
		if passes(form, i) {
			passed = append(passed, i)
		}
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(form.Get("NextToken"), "page-"))
	size := s.pageSize
	if n, err := strconv.Atoi(form.Get("MaxResults")); err == nil && n < size {
		size = n
	}
	to, next := min(from+size, len(passed)), ""
	if to < len(passed) {
		next = "page-" + strconv.Itoa(to)
	}
	return Page(passed[min(from, to):to], next)
}

// passes applies the filters: each must match, by any of its values.
func passes(form url.Values, i Instance) bool {
	for n := 1; form.Get(fmt.Sprintf("Filter.%d.Name", n)) != ""; n++ {
		name := form.Get(fmt.Sprintf("Filter.%d.Name", n))
		var values []string
		for v := 1; form.Has(fmt.Sprintf("Filter.%d.Value.%d", n, v)); v++ {
			values = append(values, form.Get(fmt.Sprintf("Filter.%d.Value.%d", n, v)))
		}
		there := slices.Collect(maps.Keys(i.Tags))
		if name == "instance-state-name" {
			there = []string{i.state()}
		}
		if !slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(there, func(text string) bool { return fits(v, text) })
		}) {
			return false
		}
	}
	return true
}

// fits compares a filter's value with a text, as AWS documents it: * stands for
// any characters, ? for one, and a backslash takes the next one as it is.
func fits(value, text string) bool {
	if value == "" {
		return text == ""
	}
	switch c := value[0]; {
	case c == '*':
		return fits(value[1:], text) || text != "" && fits(value, text[1:])
	case c == '?':
		return text != "" && fits(value[1:], text[1:])
	case c == '\\' && len(value) > 1:
		value = value[1:]
	}
	return text != "" && text[0] == value[0] && fits(value[1:], text[1:])
}

func (i Instance) state() string {
	if i.State == "" {
		return "running"
	}
	return i.State
}

// Page writes one answer in EC2's form, with the elements that a reader must
// step over, among them others of the same names.
func Page(instances []Instance, next string) []byte {
	var out bytes.Buffer
	out.WriteString(xml.Header + `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
		"\n    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>\n    <reservationSet>\n")
	for n, i := range instances {
		fmt.Fprintf(&out, before, n, text(i.ID), text(i.state()), text(i.PrivateDNS))
		if i.PrivateIP != "" {
			fmt.Fprintf(&out, "<privateIpAddress>%s</privateIpAddress>", text(i.PrivateIP))
		}
		if i.PublicIP != "" {
			fmt.Fprintf(&out, "<ipAddress>%s</ipAddress>", text(i.PublicIP))
		}
		out.WriteString(middle + "<tagSet>")
		for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
			fmt.Fprintf(&out, "<item><key>%s</key><value>%s</value></item>", text(key), text(i.Tags[key]))
		}
		ipv6 := "<ipv6AddressesSet/>"
		if i.IPv6 != "" {
			ipv6 = "<ipv6AddressesSet><item><ipv6Address>" + text(i.IPv6) + "</ipv6Address></item></ipv6AddressesSet>"
		}
		fmt.Fprintf(&out, after, ipv6)
	}
	out.WriteString("    </reservationSet>\n")
	if next != "" {
		fmt.Fprintf(&out, "    <nextToken>%s</nextToken>\n", text(next))
	}
	out.WriteString("</DescribeInstancesResponse>\n")
	return out.Bytes()
}

func text(s string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(s)) // a buffer cannot fail
	return out.String()
}

// The shape is that of the example in AWS's reference of DescribeInstances.
const (
	before = `<item><reservationId>r-%016x</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item>` +
		`<instanceId>%s</instanceId><imageId>ami-bff32ccc</imageId><instanceState><code>16</code><name>%s</name></instanceState>` +
		`<privateDnsName>%s</privateDnsName><dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName><reason/>` +
		`<keyName>my_keypair</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>t2.micro</instanceType>` +
		`<launchTime>2018-05-08T16:46:19.000Z</launchTime><placement><availabilityZone>eu-west-1c</availabilityZone><groupName/>` +
		`<tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring><subnetId>subnet-56f5f633</subnetId><vpcId>vpc-11112222</vpcId>`
	middle = `<sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-e4076980</groupId><groupName>SecurityGroup1</groupName></item></groupSet>` +
		`<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item>` +
		`<deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1234567890abcdef0</volumeId><status>attached</status>` +
		`<attachTime>2015-12-22T10:44:09.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>` +
		`<virtualizationType>hvm</virtualizationType><clientToken>xMcwG14507example</clientToken>`
	after = `</tagSet><hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>eni-551ba033</networkInterfaceId>` +
		`<subnetId>subnet-56f5f633</subnetId><vpcId>vpc-11112222</vpcId><description>Primary network interface</description>` +
		`<ownerId>123456789012</ownerId><status>in-use</status><macAddress>02:dd:2c:5e:01:69</macAddress>` +
		`<privateIpAddress>192.168.99.99</privateIpAddress><privateDnsName>not-this.internal</privateDnsName><sourceDestCheck>true</sourceDestCheck>` +
		`<groupSet><item><groupId>sg-e4076980</groupId><groupName>SecurityGroup1</groupName></item></groupSet>` +
		`<attachment><attachmentId>eni-attach-39697adc</attachmentId><deviceIndex>0</deviceIndex><status>attached</status></attachment>` +
		`<privateIpAddressesSet><item><privateIpAddress>192.168.99.99</privateIpAddress><privateDnsName>not-this.internal</privateDnsName>` +
		`<primary>true</primary></item></privateIpAddressesSet>%s</item></networkInterfaceSet><iamInstanceProfile>` +
		`<arn>arn:aws:iam::123456789012:instance-profile/AdminRole</arn><id>ABCAJEDNCAA64SSD123AB</id></iamInstanceProfile>` +
		`<ebsOptimized>false</ebsOptimized><cpuOptions><coreCount>1</coreCount><threadsPerCore>1</threadsPerCore></cpuOptions></item></instancesSet></item>` + "\n"
)
