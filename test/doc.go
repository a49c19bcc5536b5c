// Package test holds what looks at the project as a whole: the rules of the
// house as a test (arch_test.go), the real servers that tests start (servers),
// the demonstration behind `make run` (demo), the figures behind
// `make bench` (bench), and the count of tests behind `make test` (tally).
package test
