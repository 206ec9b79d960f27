// Package rosetta has the one function that the Docker CLI calls of the module of this name. The
// answer is that module's own for every system but macOS, and the Go module proxy does not serve it.
package rosetta

// Enabled reports whether the program runs under Rosetta.
func Enabled() bool { return false }
