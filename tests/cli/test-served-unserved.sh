#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every verb gives the same output, error and exit code whether the store is
# served or not.

. "$(dirname "$0")/cli.sh"
requires_tools jq

# One command a line; all of them are run on both stores, in order.
cat >"$tmp/commands" <<'END'
list
status
create data 1G
create data 1G
create -n more 1G
create web/root 10M
create web/data 20M
create big 33T
create nothing 0
list
show data
show nosuch
show data@nosuch
show da#ta
snapshot data@one
snapshot data@one
snapshot -n data@one
snapshot -n data@two
snapshot -n --freeze data@two
snapshot --freeze nosuch@two
snapshot --freeze-cmd true data@two
guard -n --check true data web/root -- true
guard data nosuch -- true
guard data -- nosuchcommand
guard --resume
snapshot -m a-note web/root@s web/data@s
snapshot web/root@t nosuch@t
snapshot data
list -t all
list -t all -o name,type,size,refer,written,origin,snapshots,message
list -H -p -o name,size,refer,written -t all
list -t all -o name,written,refer,excl
list -H -p -t all -o excl,name
list --json -o name,excl
list -o name,nothing
du
du -H -p
du data web/root@s web/root@s data@one data
du -o name,size
du nosuch
du data@nosuch
du --json
list data
list web/root@s
list nosuch
list -t snapshot
list -t nothing
show web/root@s
clone data@one copy1 copy2
clone data@one copy1
clone data@nosuch copy3
clone -n data@one copy3
clone data copy3
rollback data@one
rollback -n data@one
rollback data@nosuch
rollback data
rollback web/root@s web/data@s
rollback web/root@s web/root@s
set data quota=1G
set -n data on-full=pause
set data on-full=pause reservation=64M quota=none
set data quota=1G quota=2G
set data quota=x
set data quota=1.5.5G
set data size=1G
set data quota
set data =1G
set data@one quota=1G
set nosuch quota=1G
set data --json reservation=none
set capacity=1G
set -n capacity=2G
set --json capacity=1G
set capacity=512M
set capacity=max
set size=1G
set =1G
show data
rename data@one data@first
rename -n data@first data@one
rename data@first data@one
rename data@one data@one
rename data@one copy1@one
rename data copy1
rename data@nosuch data@other
rename nosuch other
rename data other@one
rename data@one..two data@x
rename web web2
rename web/data web/files web/root@s web/root@first
rename web/files web/data web/root@first web/root@s
rename web/data web/files web/root@s
rename web/data web/files web/root web/files
rename --json copy2 copy3
rename copy3 copy2
resize data 2G
resize -n data 4G
resize data 512M
resize -n --shrink data 512M
resize --shrink data 512M
resize --shrink data 1000
resize --shrink data 512
resize --json data 1G
resize data 1G
resize data 33T
resize data 0
resize data@one 1G
resize nosuch 1G
resize nosuch x
undo data
undo -n data
undo copy1
undo nosuch
undo data@one
delete data
delete -n data
delete -n -r copy1
delete copy1 nosuch
delete copy1 copy2
delete -n web/root@s
delete web/root@s
delete -r web/root
delete -n -r data
list -t all -o name,size
check
scrub
scrub --rate nothing
dump nosuch
list --json
show data --json
list -t all,hidden
create vol:attached 1M
create a@b 1M
snapshot data@2026-11-22T10:00:00Z
snapshot data@a..b
delete data@one:scratch
delete data@one
list -r
END

# Times, and what only a served or an unserved store can say.
normalise() {
	sed -E -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T?[0-9:]*Z/TIME/g' \
		-e 's/[0-9]{8}T[0-9]{6}Z/TIME/g' \
		-e "s,$tmp/[a-z]+,STORE,g" \
		-e '/^(served|socket|kill -9|uuid|log|checkpoint|memory|tables|used|free|freeing) /d' \
		-e 's/ +[0-9]+[smh]$//' \
		-e 's/, [0-9]+ (nodes|segments)//g' \
		-e 's/ +/ /g'
}

# run_all STORE NAME
run_all() {
	local line words
	while read -r line; do
		echo "$ varve $line"
		read -r -a words <<<"$line"
		"$VARVE" -s "$1" "${words[@]}" 2>&1 </dev/null
		echo "exit $?"
		checks=$((checks + 1))
	done <"$tmp/commands" >"$tmp/$2.raw"
	normalise <"$tmp/$2.raw" >"$tmp/$2"
}

init_store "$tmp/alone"
init_store "$tmp/served"
run_all "$tmp/alone" alone.said
serve "$tmp/served"
run_all "$tmp/served" served.said
stop
diff -u "$tmp/alone.said" "$tmp/served.said" ||
	fail "an unserved and a served store differ"

# and both are sound, and hold the same
expect 0 "$VARVE" -s "$tmp/alone" check
expect 0 "$VARVE" -s "$tmp/served" check
diff <(names "$tmp/alone" | normalise) <(names "$tmp/served" | normalise) ||
	fail "the stores do not hold the same"
# the codes are those that were meant, not the same mistake twice
grep -A1 -F '$ varve show nosuch' "$tmp/alone.said" |
	grep -q 'varve: nosuch: ' || fail "show nosuch"
for want in "create data 1G:7" "show nosuch:6" "snapshot data@one:7" \
	"snapshot web/root@t nosuch@t:6" "clone data@nosuch copy3:6" \
	"set data quota=1G:0" "set data quota=x:2" "set data size=1G:2" \
	"set nosuch quota=1G:6" "set data@one quota=1G:2" \
	"rename data@one data@one:7" "rename data copy1:7" \
	"rename data@nosuch data@other:6" "rename data other@one:2" \
	"rename data@one copy1@one:2" "rename web/data web/files web/root@s:2" \
	"rename web/data web/files web/root web/files:7" \
	"resize data 512M:2" "resize --shrink data 512M:0" \
	"resize --shrink data 512:2" "resize data 33T:2" "resize nosuch 1G:6" \
	"set capacity=1G:0" "set capacity=max:2" "set size=1G:2" \
	"undo copy1:6" "delete data:5" "create big 33T:2" "show da#ta:2"; do
	grep -F -x -A3 "\$ varve ${want%:*}" "$tmp/alone.said" |
		grep -m1 '^exit ' >"$tmp/got"
	grep -F -x -A3 "\$ varve ${want%:*}" "$tmp/alone.said" |
		grep -q "^exit ${want##*:}$" || fail "$want: $(cat "$tmp/got")"
done
passed
