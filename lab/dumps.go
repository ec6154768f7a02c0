package lab

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/lab/aws"
)

// The buckets of dumps: the one that they are put into, and the one in the standby region that it is replicated to,
// in which they are locked.
const (
	BackupBucket        = "festivals-backups"
	StandbyBackupBucket = "festivals-backups-dr"
	// BackupKey encrypts what is in the bucket of the standby region.
	BackupKey = "arn:aws:kms:" + StandbyRegion + ":" + aws.Account + ":key/5d2b8f0e-0000-4000-8000-festivalsdump"
)

// A DumpFormat is how a dump is written.
type DumpFormat string

// The formats: those of pg_dump, and the RDB file of Redis.
const (
	DumpCustom    DumpFormat = "custom"
	DumpPiped     DumpFormat = "piped" // custom, without a file in which pg_dump could go back
	DumpTar       DumpFormat = "tar"
	DumpDirectory DumpFormat = "directory" // in a tar
	DumpPlain     DumpFormat = "plain"
	DumpVerbose   DumpFormat = "verbose" // plain, with the time in it
	DumpGzip      DumpFormat = "gzip"    // plain, compressed
	DumpRDB       DumpFormat = "rdb"
)

// A Dump is a real dump of one of the lab's primaries, and the truth about it.
type Dump struct {
	Store  Store
	Format DumpFormat
	Body   []byte
	// Begun is just before the program that made it was started, and Done when it had ended.
	Begun, Done time.Time
	// Newest is the number of the newest write of the workload that is in it.
	Newest int64
	// Lacks is a moment at which the database held what the dump does not: whoever claims that the dump brings back
	// that moment, or a later one, is wrong.
	Lacks time.Time
}

// Name is what such a dump is usually called.
func (d Dump) Name() string {
	suffix := map[DumpFormat]string{
		DumpCustom: "dump", DumpPiped: "dump", DumpTar: "tar", DumpDirectory: "dir.tar", DumpPlain: "sql", DumpVerbose: "sql", DumpGzip: "sql.gz", DumpRDB: "rdb",
	}
	return "festivals-" + d.Begun.UTC().Format("150405") + "." + suffix[d.Format]
}

// Folder is the part of the key before the name: a folder a day.
func (d Dump) Folder() string {
	return string(d.Store) + "/" + d.Begun.UTC().Format("2006/01/02") + "/"
}

// Dump makes a dump of the primary: of PostgreSQL, or for DumpRDB of Redis. It waits until the workload has written
// something that is not in it, so that it must be running.
func (l *Lab) Dump(ctx context.Context, format DumpFormat) (Dump, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d := Dump{Store: Postgres, Format: format}
	var err error
	if format == DumpRDB {
		d.Store = Redis
		err = l.dumpRedis(ctx, &d)
	} else {
		err = l.dumpPostgres(ctx, &d)
	}
	if err != nil {
		return Dump{}, fmt.Errorf("make a dump (%s) of %s: %w", format, l.server(d.Store, Primary).name, err)
	}
	return d, nil
}

// dumpPostgres runs pg_dump as its users do, with the clock of its machine on UTC.
func (l *Lab) dumpPostgres(ctx context.Context, d *Dump) error {
	dir, err := os.MkdirTemp(l.folder.path(PrimaryRegion), "dump-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	user := l.programs.postgresUser
	if err := user.own(dir); err != nil {
		return err
	}
	password := filepath.Join(dir, "pgpass")
	if err := user.writeFile(password, []byte("*:*:*:postgres:"+l.secrets.passwords[Postgres]["postgres"]+"\n")); err != nil {
		return err
	}
	host, port, _ := strings.Cut(l.postgres[Primary].address(), ":")
	from := fmt.Sprintf("host=%s port=%s user=postgres dbname=%s passfile='%s' sslmode=verify-full sslrootcert='%s'", host, port, database, quoted(password), quoted(l.tls.ca()))
	file := filepath.Join(dir, "dump")
	d.Begun = l.options.Now()
	if err := l.spawner.run(ctx, dir, user, "/bin/sh", "-c", dumpScript(d.Format), "sh", filepath.Join(l.programs.postgresBin, "pg_dump"), from, file); err != nil {
		return err
	}
	d.Done = l.options.Now()
	if d.Body, err = os.ReadFile(file); err != nil {
		return err
	}
	script, err := l.script(ctx, d, dir, file)
	if err != nil {
		return err
	}
	if d.Newest, err = newestBooking(script); err != nil {
		return err
	}
	return l.firstLacking(ctx, d)
}

// dumpScript is what a person would have written in a crontab: $1 is pg_dump, $2 the way to the database, $3 the file.
func dumpScript(format DumpFormat) string {
	return "set -e; export TZ=UTC; " + map[DumpFormat]string{
		DumpCustom:    `"$1" -Fc -f "$3" "$2"`,
		DumpPiped:     `"$1" -Fc "$2" | cat > "$3"`,
		DumpTar:       `"$1" -Ft -f "$3" "$2"`,
		DumpDirectory: `"$1" -Fd -f "$3.d" "$2"; tar -C "$3.d" -cf "$3" .`,
		DumpPlain:     `"$1" -f "$3" "$2"`,
		DumpVerbose:   `"$1" -v -f "$3" "$2" 2> "$3.log"`,
		DumpGzip:      `"$1" -Z6 -f "$3" "$2"`,
	}[format]
}

// script gives the SQL of a dump, as pg_restore reads it.
func (l *Lab) script(ctx context.Context, d *Dump, dir, file string) ([]byte, error) {
	switch d.Format {
	case DumpPlain, DumpVerbose:
		return d.Body, nil
	case DumpGzip:
		r, err := gzip.NewReader(bytes.NewReader(d.Body))
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		_, err = text.ReadFrom(r)
		return text.Bytes(), err
	case DumpDirectory:
		file += ".d"
	}
	script := filepath.Join(dir, "script")
	restore := filepath.Join(l.programs.postgresBin, "pg_restore")
	if err := l.spawner.run(ctx, dir, l.programs.postgresUser, restore, "--data-only", "--table=bookings", "-f", script, file); err != nil {
		return nil, err
	}
	return os.ReadFile(script)
}

// newestBooking finds the last id among the rows of bookings in a script.
func newestBooking(script []byte) (newest int64, err error) {
	lines, inside := bufio.NewScanner(bytes.NewReader(script)), false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "COPY public.bookings "):
			inside = true
		case line == `\.`:
			inside = false
		case inside:
			id, _, _ := strings.Cut(line, "\t")
			n, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the dump: %w", err)
			}
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return 0, errors.New("read the dump: it holds no bookings")
	}
	return newest, lines.Err()
}

// firstLacking finds when the first booking was made that the dump does not hold.
func (l *Lab) firstLacking(ctx context.Context, d *Dump) error {
	return poll(ctx, "a booking that is not in the dump", func(ctx context.Context) error {
		conn, err := l.ConnectPostgres(ctx, Primary)
		if err != nil {
			return err
		}
		var at *time.Time
		err = conn.QueryRow(ctx, "SELECT min(booked_at) FROM bookings WHERE id > $1", d.Newest).Scan(&at)
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return err
		}
		if at == nil {
			return errors.New("there is none yet")
		}
		d.Lacks = *at
		return nil
	})
}

// dumpRedis lets Redis save, which holds up all writes for as long: what comes after the command was sent may not be
// in the file.
func (l *Lab) dumpRedis(ctx context.Context, d *Dump) error {
	client := l.RedisClient(Primary)
	d.Begun = l.options.Now()
	d.Lacks = d.Begun
	err := errors.Join(client.Save(ctx).Err(), client.Close())
	if err != nil {
		return err
	}
	d.Done = l.options.Now()
	if d.Body, err = os.ReadFile(filepath.Join(l.redis[Primary].dir, "dump.rdb")); err != nil {
		return err
	}
	d.Newest, err = newestCount(d.Body)
	return err
}

// newestCount reads the workload's counter out of an RDB file: a key, and a number in one of three sizes.
func newestCount(body []byte) (int64, error) {
	const key = "festivals:bookings"
	_, value, found := bytes.Cut(body, append([]byte{byte(len(key))}, key...))
	if !found || len(value) < 5 {
		return 0, errors.New("read the RDB file: it does not hold " + key)
	}
	switch value[0] {
	case 0xC0:
		return int64(int8(value[1])), nil
	case 0xC1:
		return int64(int16(binary.LittleEndian.Uint16(value[1:]))), nil
	case 0xC2:
		return int64(int32(binary.LittleEndian.Uint32(value[1:]))), nil
	}
	return 0, fmt.Errorf("read the RDB file: %s is no number of 32 bits", key)
}

// CreateBackupBuckets makes the two buckets of dumps: the one is replicated into the other, where a dump is encrypted
// with a key of one's own and locked for 30 days.
func CreateBackupBuckets(s *aws.S3) {
	s.CreateBucket(aws.Bucket{Name: BackupBucket, Region: PrimaryRegion, Versioning: "Enabled", ReplicatesTo: StandbyBackupBucket})
	s.CreateBucket(aws.Bucket{
		Name: StandbyBackupBucket, Region: StandbyRegion, ObjectLock: true, LockMode: "COMPLIANCE", LockFor: 30 * 24 * time.Hour, KMSKey: BackupKey,
	})
}

// Keep puts a dump into the bucket of the primary region, and its replica into that of the standby region.
func (d Dump) Keep(s *aws.S3) error {
	key := d.Folder() + d.Name()
	metadata := map[string]string{"begun": d.Begun.UTC().Format(time.RFC3339)}
	return errors.Join(
		s.Put(aws.Object{Bucket: BackupBucket, Key: key, Body: d.Body, Modified: d.Done, Metadata: metadata, ReplicationStatus: "COMPLETED"}),
		s.Put(aws.Object{Bucket: StandbyBackupBucket, Key: key, Body: d.Body, Modified: d.Done, Metadata: metadata, ReplicationStatus: "REPLICA"}),
	)
}
