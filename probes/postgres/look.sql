-- What drwatch asks a PostgreSQL server, as one row and one JSON value. NULL is unknown.
--
-- Every function and column is in PostgreSQL 13 to 18. What is newer is read through to_jsonb, which gives NULL where
-- there is no such column: synced and invalidation_reason of pg_replication_slots are of 17. Functions that fail in the
-- wrong role stand behind in_recovery. What is NULL without the rights of pg_read_all_stats: the columns of
-- pg_stat_wal_receiver. Everything else is open to any role.
SELECT row_to_json(look) FROM (
	SELECT
		in_recovery,
		clock_timestamp() AS clock,
		(SELECT system_identifier::text FROM pg_control_system()) AS system,
		pg_postmaster_start_time() AS started,
		current_setting('port') AS port,

		-- The timeline: of a primary that of the file it writes, of a standby at least that of its last restart point.
		CASE WHEN NOT in_recovery THEN pg_walfile_name(pg_current_wal_lsn()) END AS wal_file,
		(SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
		(SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS recovery_timeline,

		-- Positions, in bytes from the beginning of the history. GREATEST passes NULLs over: after a restart the receive
		-- position begins at a segment, behind the replay position.
		CASE WHEN NOT in_recovery THEN pg_current_wal_lsn() - '0/0' END AS written,
		CASE WHEN in_recovery THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0' END AS received,
		CASE WHEN in_recovery THEN pg_last_wal_replay_lsn() - '0/0' END AS replayed,
		CASE WHEN in_recovery THEN pg_last_xact_replay_timestamp() END AS commit_replayed,
		CASE WHEN in_recovery THEN pg_is_wal_replay_paused() END AS paused,

		extract(epoch FROM current_setting('recovery_min_apply_delay')::interval) AS apply_delay,
		extract(epoch FROM current_setting('wal_receiver_timeout')::interval) AS receiver_timeout,

		(SELECT row_to_json(r) FROM (
			SELECT status, received_tli AS timeline, last_msg_receipt_time AS heard, sender_host, sender_port, slot_name AS slot
			FROM pg_stat_wal_receiver) r) AS receiver,

		-- How much each slot retains is counted from where the server stands in its own role.
		(SELECT coalesce(json_agg(s ORDER BY name), '[]') FROM (
			SELECT slot_name AS name, slot_type = 'logical' AS logical, active, temporary, wal_status, safe_wal_size AS headroom,
				CASE WHEN in_recovery THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END
					- restart_lsn AS retained,
				confirmed_flush_lsn - '0/0' AS confirmed,
				(to_jsonb(slots)->>'synced')::boolean AS synced,
				to_jsonb(slots)->>'invalidation_reason' AS invalidated
			FROM pg_replication_slots slots) s) AS slots
	FROM (SELECT pg_is_in_recovery() AS in_recovery) role
) look
