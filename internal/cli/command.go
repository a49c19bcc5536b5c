package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"smartstack/internal/control"
)

// The exit codes of subcommands.
const (
	ExitOK          = exitOK
	ExitNo          = 1 // the answer is no: not well, not in, not in time; or the order failed
	ExitUsage       = exitUsage
	ExitUnreachable = 4 // no running program answered
	ExitUnknown     = 5 // the running program does not know what was asked about
	ExitFault       = 6 // it could not answer now: it starts, has too much to do, or something is broken
)

// Command is one subcommand.
type Command struct {
	Name             string
	Args             string // what the usage shows behind the name
	Doc              string // one sentence
	MinArgs, MaxArgs int    // MaxArgs < 0: any number
	Flags            func(*flag.FlagSet)
	// Offline commands need no running program: their Call has no Client.
	Offline bool
	// Run returns the exit code. An error is printed, and the code is then
	// ExitNo, or ExitUnreachable when nobody answered.
	Run func(context.Context, *Call) (int, error)
}

// Call is one use of a Command.
type Call struct {
	Args           []string
	JSON           bool
	Config         string // of -c or the environment; may be empty
	Client         *control.Client
	Stdout, Stderr io.Writer
}

// Unanswered is the exit code for a question that ended in err.
func Unanswered(err error) int {
	var e *control.Error
	switch {
	case !errors.As(err, &e):
		return ExitNo // or ExitUnreachable, which the caller of Run finds out
	case e.Status == http.StatusNotFound:
		return ExitUnknown
	case e.Status >= 500 || e.Status == http.StatusTooManyRequests:
		return ExitFault
	default:
		return ExitNo
	}
}

// PrintJSON prints v, indented.
func (c *Call) PrintJSON(v any) error {
	e := json.NewEncoder(c.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Dispatch runs the subcommand that the first argument names, until it ends or
// the person interrupts it. Without a subcommand ok is false. socket reads
// control.socket from the configuration file at a path; empty means that it
// says nothing.
func Dispatch(ctx context.Context, p Program, commands []Command, socket func(config string) (string, error), args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) (code int, ok bool) {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return 0, false
	}
	i := slices.IndexFunc(commands, func(c Command) bool { return c.Name == args[0] })
	if i < 0 {
		fmt.Fprintf(stderr, "%s: there is no command %q\n\n%s", p.Name, args[0], CommandUsage(p.Name, commands))
		return ExitUsage, true
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d := dispatch{p: p, command: commands[i], socket: socket, call: Call{Stdout: stdout, Stderr: stderr}}
	return d.run(ctx, args[1:], getenv), true
}

type dispatch struct {
	p       Program
	command Command
	socket  func(string) (string, error)
	call    Call
	path    string // of the socket; empty = to be found
	url     string // of the port; empty = the socket is asked
	token   string // the token's file, for url
}

func (d *dispatch) run(ctx context.Context, args []string, getenv func(string) (string, bool)) int {
	c := d.command
	prefix := strings.ToUpper(d.p.Name)
	d.call.Config, _ = getenv(prefix + "_CONFIG")
	d.path, _ = getenv(prefix + "_SOCKET")
	d.url, _ = getenv(prefix + "_URL")
	d.token, _ = getenv(prefix + "_TOKEN_FILE")
	err := d.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(d.call.Stdout, d.usage())
		return ExitOK
	case err != nil:
	case len(d.call.Args) < c.MinArgs:
		err = fmt.Errorf("want %s", c.Args)
	case c.MaxArgs >= 0 && len(d.call.Args) > c.MaxArgs:
		err = fmt.Errorf("unexpected argument %q", d.call.Args[c.MaxArgs])
	}
	if err == nil && !c.Offline {
		err = d.connect()
	}
	if err != nil {
		fmt.Fprintf(d.call.Stderr, "%s %s: %v\n\n%s", d.p.Name, c.Name, err, d.usage())
		return ExitUsage
	}
	code, err := c.Run(ctx, &d.call)
	switch {
	case errors.Is(err, control.ErrUnreachable):
		code = ExitUnreachable
	case err != nil:
		code = max(code, ExitNo)
	}
	if err != nil {
		fmt.Fprintf(d.call.Stderr, "%s %s: %v\n", d.p.Name, c.Name, err)
	}
	return code
}

func (d *dispatch) flags() *flag.FlagSet {
	f := flag.NewFlagSet(d.command.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&d.call.JSON, "json", false, "print JSON")
	if !d.command.Offline {
		f.StringVar(&d.path, "socket", d.path, "ask the program behind the socket at `PATH`")
		f.StringVar(&d.url, "url", d.url, "ask the program behind the port at `URL`, such as http://127.0.0.1:3213, instead of its socket")
		f.StringVar(&d.token, "token-file", d.token, "`FILE` with the token for --url")
	}
	for _, name := range []string{"c", "config"} {
		f.StringVar(&d.call.Config, name, d.call.Config, "find the socket in the configuration `FILE`")
	}
	if d.command.Flags != nil {
		d.command.Flags(f)
	}
	return f
}

// parse takes flags before, between and behind the arguments.
func (d *dispatch) parse(args []string) error {
	f := d.flags()
	defer func() {
		given := map[string]bool{}
		f.Visit(func(one *flag.Flag) { given[one.Name] = true })
		if given["socket"] && !given["url"] {
			d.url = "" // of the environment
		}
	}()
	for {
		if err := f.Parse(args); err != nil {
			return err
		}
		rest := f.Args()
		if len(rest) == 0 {
			return nil
		}
		if passed := len(args) - len(rest); passed > 0 && args[passed-1] == "--" {
			d.call.Args = append(d.call.Args, rest...)
			return nil
		}
		d.call.Args = append(d.call.Args, rest[0])
		args = rest[1:]
	}
}

func (d *dispatch) connect() error {
	if d.url != "" {
		client, err := control.NewPortClient(d.url, d.token)
		if err != nil {
			return fmt.Errorf("--url %s: %w", withoutLogin(d.url), err)
		}
		d.call.Client = client
		return nil
	}
	if d.path == "" && d.call.Config != "" && d.socket != nil {
		path, err := d.socket(d.call.Config)
		if err != nil {
			return fmt.Errorf("%s does not say where the program answers (give --socket PATH): %w", d.call.Config, err)
		}
		d.path = path
	}
	if d.path == control.NoSocket {
		return errors.New("control.socket is none: ask the port with --url http://ADDRESS and --token-file FILE")
	}
	if d.path == "" {
		d.path = control.DefaultSocket(d.p.Name)
	}
	d.call.Client = control.NewClient(d.path)
	return nil
}

// withoutLogin keeps what should not have been typed out of the answer.
func withoutLogin(url string) string {
	if at := strings.LastIndexByte(url, '@'); at >= 0 {
		return "…" + url[at:]
	}
	return url
}

func (d *dispatch) usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s %s %s[options]\n\n%s\n\nOptions:\n", d.p.Name, d.command.Name, spaced(d.command.Args), d.command.Doc)
	d.flags().VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(&b, "  %-22s %s\n", strings.TrimSpace(dashes+f.Name+" "+value), text)
	})
	return b.String()
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return s + " "
}

// CommandUsage lists the commands, for the program's --help.
func CommandUsage(program string, commands []Command) string {
	var b strings.Builder
	b.WriteString("Commands, for a running " + program + " (each has --help):\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-30s %s\n", c.Name+" "+c.Args, c.Doc)
	}
	return b.String()
}
