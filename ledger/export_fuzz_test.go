package ledger

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzImport reads what may be no export at all. What is taken is what was sealed,
// follows without a gap, and can be written and read again.
func FuzzImport(f *testing.F) {
	sound, err := os.ReadFile("testdata/export.golden")
	require.NoError(f, err)
	f.Add(sound)
	f.Add(sound[:len(sound)/2])
	f.Add(bytes.ReplaceAll(sound, []byte(`"position":3`), []byte(`"position":4`)))
	f.Add(bytes.ReplaceAll(sound, []byte(`"body_base64":"`), []byte(`"body":null,"body_base64":"!`)))
	f.Add([]byte(`{"ledger":{"version":1,"first":1,"after":0,"last":0,"base":"` + Hash{}.String() + `"}}` + "\n" + `{"end":{"events":0,"head":"` + Hash{}.String() + `"}}`))
	f.Add([]byte("{\"ledger\":{\"version\":1,\"first\":18446744073709551615}}\nnull\n[]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := openExport(bytes.NewReader(text))
		if err != nil {
			return
		}
		last := Event{Position: x.After, Hash: x.Base}
		for {
			e, err := x.next()
			if err == io.EOF { //nolint:errorlint // next gives it as it is
				require.Equal(t, x.Last, last.Position)
				return
			}
			if err != nil {
				return
			}
			require.Equal(t, last.Position+1, e.Position)
			require.Equal(t, last.Hash, e.Previous)
			require.Equal(t, e.hash(), e.Hash)
			var again bytes.Buffer
			lines := json.NewEncoder(&again)
			lines.SetEscapeHTML(false)
			require.NoError(t, lines.Encode(line{Event: recordOf(e)}))
			require.Equal(t, 1, strings.Count(again.String(), "\n"), "an event is one line")
			l, err := (&export{checker: x.checker, lines: scanner(&again)}).line()
			require.NoError(t, err)
			require.Equal(t, e, l.Event.event())
			last = e
		}
	})
}
