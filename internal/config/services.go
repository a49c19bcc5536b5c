package config

// Services returns the top-level `services` of root together with the files of
// its `service_conf_dir`.
func Services(root *Node, r *Report, o ReadOptions) Map[*Node] { panic("config: not written yet") }
