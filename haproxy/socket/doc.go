// Package socket speaks with one HAProxy process over its admin socket, and
// reads what it answers.
//
//	c := socket.New("/run/haproxy.sock")
//	defer c.Close()
//	replies, err := c.Do(ctx, []string{"show info", "show servers state web"})
//	info, err := socket.ParseInfo(replies[0])
//	servers, err := socket.ParseServersState(replies[1])
//
// A Client keeps one connection in HAProxy's prompt mode, in which every reply
// ends in the same mark, so that each one can be attributed to its command.
// Commands are pipelined: up to a bounded number is on the way while replies
// are read. A Client belongs to one goroutine and starts none.
package socket
