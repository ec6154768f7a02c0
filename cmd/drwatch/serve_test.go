package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What reads our log, on stdout or stderr, may crash or be restarted. A monitor
// that dies of it is not there in the next disaster.
func TestServe_OutlivesWhoReadsItsLog(t *testing.T) {
	address, file := freeAddress(t), nobody(t, "before")
	c := exec.Command(os.Args[0], "serve", "--config.file", file, "--web.listen-address", address)
	c.Env = append(os.Environ(), "DRWATCH_TEST_RUN=1")
	log, end, err := os.Pipe()
	require.NoError(t, err)
	c.Stdout, c.Stderr = end, end
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	require.NoError(t, end.Close())
	url := "http://" + address
	eventually(t, "it serves", func() bool { code, _ := get(url + "/-/ready"); return code == http.StatusOK })
	_, err = bufio.NewReader(log).ReadString('\n')
	require.NoError(t, err, "it logs to the pipe")
	require.NoError(t, log.Close())

	// Each reload is logged before the next one begins.
	for _, system := range []string{"second", "third", "fourth"} {
		writeNobody(t, file, system)
		require.NoError(t, c.Process.Signal(syscall.SIGHUP))
		eventually(t, "it watches the "+system, func() bool {
			_, body := get(url + "/api/v1/report")
			return strings.Contains(body, `"`+system+`"`)
		})
	}
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait())
}
