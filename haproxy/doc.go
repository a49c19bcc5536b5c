// Package haproxy makes one HAProxy equal to the newest snapshot: it decides
// what the configuration file says, writes it, and changes the running process.
//
// The pure half turns options and snapshots into text and does no I/O:
//
//	c := haproxy.NewComposer(options, services, hostname)
//	c.Recall(fileOnDisk, state)             // ids and servers of the run before
//	model := c.Compose(snapshot, time.Now())
//	text := model.Render()
//
// A Composer belongs to one goroutine. Cost follows the change: a service whose
// *service.Service is the one of the snapshot before keeps its *Section, text
// included, and Render only joins.
//
// The text follows the original byte by byte, except where HAProxy 2.3 and
// later would refuse it (see mend and rewriteTitle), where a line of the time
// after 1.6 would have vanished (see keywords.go), or where the registry could
// have written more than words on its own server lines: what comes from a
// registry never starts a line, and what would make HAProxy refuse the file is
// left out with a Warning.
//
// The acting half is Output. It decides first (decide, a pure function) and
// then acts: servers over the socket at once, the file after 100 ms without a
// change or 1 s after the first (at once, for the first change after a calm
// second, when there is no socket), reloads when they have reasons and
// restart_interval allows.
//
// The file goes through haproxy -c, or check_command, before it goes live. A
// service that is refused keeps the stanza that was accepted last, is left out
// when there is none, and is tried again when it changes and every minute. A
// change that only brings servers of a kind that was accepted before is not
// checked. When the fault is outside the services nothing is written.
//
// At start the file that is there is taken for what HAProxy runs, so a restart
// of synapse does not reload HAProxy, unless the file has to change, or an
// earlier run left the note .synapse/lock/FILE.reload-due behind, which stands
// there from before a file goes live until HAProxy has loaded it. With the
// socket, HAProxy itself is asked as well. Beside the note is the lock that
// keeps a second synapse away from the same file.
//
// A symbolic link in place of the file is followed, and stays. Mode and owner
// of the file are kept. A file that somebody else has changed is written again,
// and HAProxy reloaded, because it may have loaded the change; the note
// .synapse/lock/FILE.ours tells the next run which file it was.
package haproxy
