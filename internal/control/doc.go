// Package control is the way into a running program: an HTTP server on a unix
// socket that only its owner may open (mode 0600), and on request on a port,
// and the client that the subcommands use. It knows nothing of services; the
// programs register plain handlers.
//
//	server := control.New("nerve", log)
//	server.Handle("GET /status", control.Read, control.JSON(func(*http.Request) (any, error) {
//		return desk.Status(), nil // an immutable value, from any goroutine
//	}))
//	server.Handle("POST /services/{name}/down", control.Change, control.JSON(func(r *http.Request) (any, error) {
//		var order struct{ For, Reason string }
//		if err := control.Decode(r, &order); err != nil {
//			return nil, err
//		}
//		return nil, control.Failure(http.StatusNotFound, "there is no service %q", r.PathValue("name"))
//	}))
//	err := server.Configure(options.Control) // opens; again after a HUP; what did not change stays open
//	defer server.Close()
//
// Everybody who may open the socket may do everything. On the port, Open
// routes answer everybody, Read routes those who bear the token (everybody, if
// there is no token or open_reads is set), Change routes those who bear the
// token and nobody if there is none. Requests that a foreign page could have
// sent (Origin), or that came by a name that is not ours (Host, against DNS
// rebinding), are refused. Bodies, headers, time, rate and connections are
// bounded.
//
// A handler must not wait for the data path longer than its request's context
// lives (10 s), and must never be waited for by it: it reads immutable values,
// or sends an order to their owner and waits for the answer under that context.
//
// Live views are streams of server-sent events that pull from what the owner
// keeps anyway, such as the events of package telemetry, so that a slow client
// delays nobody; it misses events and is cut off when it does not read at all:
//
//	server.Handle("GET /watch", control.Read, server.Stream(func(ctx context.Context, after uint64) ([]control.Event, error) {
//		… // block until there is something newer than after, or ctx ends
//	}))
//
// # Subcommands
//
// A program's subcommands are a table of cli.Command; each gets a Client that
// is already directed at the socket (--socket, NAME_SOCKET, control.socket of
// the file that -c or NAME_CONFIG names, or else the default path):
//
//	cli.Command{Name: "down", Args: "SERVICE", Doc: "Take SERVICE out of the registries.", MinArgs: 1, MaxArgs: 1,
//		Flags: func(f *flag.FlagSet) { f.DurationVar(&howLong, "for", 0, "undo after `TIME`") },
//		Run: func(ctx context.Context, c *cli.Call) (int, error) {
//			var answer Status
//			err := c.Client.Post(ctx, "/services/"+url.PathEscape(c.Args[0])+"/down", order, &answer)
//			if err != nil {
//				return 0, err
//			}
//			if c.JSON {
//				return cli.ExitOK, c.PrintJSON(answer)
//			}
//			fmt.Fprintln(c.Stdout, "…")
//			return cli.ExitOK, nil
//		}}
//
// and the program's run begins with
//
//	if code, ok := cli.Dispatch(ctx, cli.Program{…}, commands(), socketOf, args, getenv, stdout, stderr); ok {
//		return code
//	}
package control
