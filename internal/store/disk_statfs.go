//go:build linux || darwin || freebsd

package store

import "golang.org/x/sys/unix"

// room returns how many bytes can still be written into a folder.
func room(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
