package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// sections are those of INFO that a look reads. Each is asked for by a command
// of its own, since only Redis 7 takes several at once; they travel together.
func sections() []command {
	return []command{
		{"INFO", "server"}, {"INFO", "replication"}, {"INFO", "persistence"}, {"INFO", "stats"}, {"INFO", "keyspace"},
	}
}

// info is what INFO tells, as far as we read it. What it does not tell, or
// tells as -1, is unknown.
type info struct {
	mode    string // standalone, cluster or sentinel
	role    string // master or slave
	history string // master_replid: the history that the data belongs to; empty where it was copied without PSYNC
	run     string // run_id: new with each start of the server
	uptime  readiness.Maybe[time.Duration]
	time    readiness.Maybe[time.Time] // its clock; told since 6.2

	// Of a master.
	offset   readiness.Maybe[int64] // how far its history goes
	backlog  bool                   // it counts every write, as it does from its first replica on
	attached int64                  // replicas, whatever their state
	online   int64                  // replicas that have the data and follow

	// Of a replica.
	source    string // host:port
	linkUp    bool
	lastHeard readiness.Maybe[time.Duration] // ago, whole seconds
	downFor   readiness.Maybe[time.Duration]
	syncing   bool // a full copy is on its way
	syncLeft  readiness.Maybe[int64]
	applied   readiness.Maybe[int64] // how far it has applied its source's history

	loading     bool // the data is being read, and not there yet
	loadPercent string

	keys      bool // there is data
	fullSyncs readiness.Maybe[int64]

	lastSave                                  readiness.Maybe[time.Time] // on its clock; the start of the server until one is made
	saves                                     readiness.Maybe[int64]     // since the start; told since 7.0
	saveStatus, aofWriteStatus, rewriteStatus string
	aof                                       bool
}

var errSentinel = errors.New("a Sentinel, which holds no data, listens there")

// parseInfo reads the sections of INFO: lines of key:value below headings.
func parseInfo(sections ...string) (info, error) {
	var i info
	for _, section := range sections {
		for line := range strings.Lines(section) {
			line = strings.TrimRight(line, "\r\n")
			key, value, ok := strings.Cut(line, ":")
			if !ok || line[0] == '#' {
				continue
			}
			if err := i.set(key, value); err != nil {
				return info{}, err
			}
		}
	}
	switch {
	case i.mode == "sentinel":
		return info{}, errSentinel
	case i.role != "master" && i.role != "slave":
		return info{}, notRedis("its INFO tells no role that we know")
	case i.run == "":
		return info{}, notRedis("its INFO tells no run id")
	}
	return i, nil
}

// set takes in one line of what a server tells of itself.
func (i *info) set(key, value string) (err error) {
	switch key {
	case "redis_mode":
		i.mode = value
	case "role":
		i.role = value
	case "master_replid":
		i.history = value
	case "run_id":
		i.run = value
	case "uptime_in_seconds":
		i.uptime, err = seconds(key, value)
	case "server_time_usec":
		i.time, err = moment(key, value, time.Microsecond)
	case "loading", "async_loading":
		i.loading = i.loading || value == "1"
	case "loading_loaded_perc":
		i.loadPercent = value
	default:
		if strings.HasPrefix(key, "db") && strings.HasPrefix(value, "keys=") {
			i.keys = true
			return nil
		}
		if known, err := i.setReplication(key, value); known || err != nil {
			return err
		}
		return i.setPersistence(key, value)
	}
	return err
}

func (i *info) setReplication(key, value string) (known bool, err error) {
	switch key {
	case "master_repl_offset":
		i.offset, err = number(key, value)
	case "repl_backlog_active":
		i.backlog = value == "1"
	case "connected_slaves":
		var n readiness.Maybe[int64]
		n, err = number(key, value)
		i.attached, _ = n.Get()
	case "master_host":
		i.source = value
	case "master_port":
		i.source += ":" + value
	case "master_link_status":
		i.linkUp = value == "up"
	case "master_last_io_seconds_ago":
		i.lastHeard, err = seconds(key, value)
	case "master_link_down_since_seconds":
		i.downFor, err = seconds(key, value)
	case "master_sync_in_progress":
		i.syncing = value == "1"
	case "master_sync_left_bytes":
		i.syncLeft, err = number(key, value)
	case "slave_repl_offset":
		i.applied, err = number(key, value)
	case "sync_full":
		i.fullSyncs, err = number(key, value)
	default:
		if strings.HasPrefix(key, "slave") && strings.Contains(value, ",state=online,") {
			i.online++
		}
		return false, nil
	}
	return true, err
}

func (i *info) setPersistence(key, value string) (err error) {
	switch key {
	case "rdb_last_save_time":
		i.lastSave, err = moment(key, value, time.Second)
	case "rdb_saves":
		i.saves, err = number(key, value)
	case "rdb_last_bgsave_status":
		i.saveStatus = value
	case "aof_enabled":
		i.aof = value == "1"
	case "aof_last_write_status":
		i.aofWriteStatus = value
	case "aof_last_bgrewrite_status":
		i.rewriteStatus = value
	}
	return err
}

// number reads a count; a negative one stands for none.
func number(key, value string) (readiness.Maybe[int64], error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return readiness.Maybe[int64]{}, notRedis(fmt.Sprintf("its INFO tells a %s that is no number", key))
	}
	if n < 0 {
		return readiness.Maybe[int64]{}, nil
	}
	return readiness.Known(n), nil
}

// longest is an age or a moment, in seconds, beyond which a number is none.
const longest = int64(1) << 33

func seconds(key, value string) (readiness.Maybe[time.Duration], error) {
	n, err := number(key, value)
	count, ok := n.Get()
	if err != nil || !ok || count > longest {
		return readiness.Maybe[time.Duration]{}, err
	}
	return readiness.Known(time.Duration(count) * time.Second), nil
}

// moment reads a time since the epoch, in the unit given.
func moment(key, value string, unit time.Duration) (readiness.Maybe[time.Time], error) {
	n, err := number(key, value)
	count, ok := n.Get()
	if err != nil || !ok || count == 0 || count/int64(time.Second/unit) > longest {
		return readiness.Maybe[time.Time]{}, err
	}
	return readiness.Known(time.UnixMicro(count * int64(unit/time.Microsecond))), nil
}
