// Package cli is the beginning that both programs share: the command line and
// environment of the originals, the log, and the answers to --help, --version
// and a wrong call.
//
//	start, code := cli.Begin(cli.Program{Name: "synapse", Version: version, Usage: usage}, args, getenv, nil, stdout, stderr)
//	if start == nil {
//		return code
//	}
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"smartstack/internal/telemetry"
)

// The exit codes of Begin.
const (
	exitOK    = 0
	exitUsage = 2
)

// Program is what a program says about itself.
type Program struct {
	Name    string // its variables are NAME_CONFIG and NAME_CHECK_CONFIG
	Version string
	Usage   string // the whole text of --help
}

// Start is what the command line and the environment ask for.
type Start struct {
	Config string // the file's path; never empty
	Check  bool   // only read the file and say what is wrong
	Strict bool   // unknown options are errors
	Log    *slog.Logger
	// Telemetry is what Log belongs to: its level, and the journal of events.
	Telemetry *telemetry.Log
}

// Begin reads the command line. more adds a program's own flags; nil adds
// none. Without a Start the program ends with the code.
func Begin(p Program, args []string, getenv func(string) (string, bool), more func(*flag.FlagSet), stdout, stderr io.Writer) (*Start, int) {
	s := &Start{}
	prefix := strings.ToUpper(p.Name)
	s.Config, _ = getenv(prefix + "_CONFIG")
	_, s.Check = getenv(prefix + "_CHECK_CONFIG") // any value, even an empty one
	_, debug := getenv("DEBUG")
	version, format := false, telemetry.Auto

	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"c", "config"} {
		flags.StringVar(&s.Config, name, s.Config, "")
	}
	for _, name := range []string{"k", "check-config"} {
		flags.BoolVar(&s.Check, name, s.Check, "")
	}
	flags.BoolVar(&s.Strict, "strict", false, "")
	flags.BoolVar(&debug, "debug", debug, "")
	flags.BoolVar(&version, "version", false, "")
	flags.StringVar(&format, "log-format", format, "")
	if more != nil {
		more(flags)
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, p.Usage)
		return nil, exitOK
	case err != nil:
	case version:
		fmt.Fprintln(stdout, p.Name, p.Version)
		return nil, exitOK
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.Config == "":
		err = fmt.Errorf("no configuration: give -c FILE or set %s_CONFIG", prefix)
	default:
		if s.Telemetry, err = telemetry.NewLog(stderr, debug, format); err == nil {
			s.Log = s.Telemetry.Logger
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n\n%s", p.Name, err, p.Usage)
		return nil, exitUsage
	}
	return s, exitOK
}
