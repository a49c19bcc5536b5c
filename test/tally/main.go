// Command tally runs go test and says in its last line what ran and what did
// not, so that a green run cannot hide tests that were skipped:
//
//	go run ./test/tally -race ./...
//	12 passed, 0 failed, 1 skipped
//
// Its arguments go to go test. A test with subtests counts through them. It
// exits with 1 when a test or a package failed, when nothing ran at all, and
// when a test was skipped although REQUIRE_SERVERS is set.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv("REQUIRE_SERVERS") != ""))
}

func run(args []string, skipsForbidden bool) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		return 1
	}
	t := newTally()
	readErr := follow(t, events, os.Stdout)
	waitErr := cmd.Wait()
	passed, failed, skipped := t.count()
	if readErr != nil {
		fmt.Fprintln(os.Stderr, "tally:", readErr)
		failed++
	}
	if waitErr != nil && failed == 0 { // such as a go.mod that does not parse
		fmt.Fprintln(os.Stderr, "tally: go test:", waitErr)
		failed++
	}
	t.report(os.Stdout)
	if skipsForbidden && skipped > 0 {
		fmt.Println("Skipped tests count as failures here, because REQUIRE_SERVERS is set.")
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 || skipsForbidden && skipped > 0 {
		return 1
	}
	return 0
}

// follow feeds each line of go test -json to t, and prints a line for each
// finished package.
func follow(t *tally, events io.Reader, out io.Writer) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if done := t.add(line); done != "" {
				fmt.Fprintln(out, done)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}
