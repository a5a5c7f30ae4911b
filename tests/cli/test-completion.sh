#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Completion in bash, zsh and fish, of verbs, options, what these take, and the
# names in a store: each shell is typed at, or asked.

. "$(dirname "$0")/cli.sh"
shell=$1
completion=$(cd "$(dirname "$0")/../../cli/completion" && pwd)
keys=$(cd "$(dirname "$0")" && pwd)/type-keys.py

# Verbs and options are asked of the program as users call it.
mkdir -p "$tmp/path"
ln -s "$VARVE" "$tmp/path/varve"
PATH=$tmp/path:$PATH
export HOME=$tmp LC_ALL=C.UTF-8

store=$tmp/main.varve
export VARVE_STORE=$store
init_store "$store" 64M
init_store "$tmp/other.varve" 64M
"$VARVE" -q -s "$tmp/other.varve" create elsewhere 1M
"$VARVE" -q create web/root 1M
"$VARVE" -q create data 1M
"$VARVE" -q snapshot data@monday data@tuesday

# What is typed, and the words that are to come of it.
cases='
varve rollb<TAB> | varve rollback
varve help rollb<TAB> | varve help rollback
varve show da<TAB> | varve show data
varve show data@m<TAB> | varve show data@monday
varve show data@t<TAB> | varve show data@tuesday
varve rollback d<TAB>t<TAB> | varve rollback data@tuesday
varve delete data@monday data@t<TAB> | varve delete data@monday data@tuesday
varve undo we<TAB> | varve undo web/root
varve snapshot we<TAB>now | varve snapshot web/root@now
varve clone data@m<TAB> new | varve clone data@monday new
varve delete --rec<TAB> data | varve delete --recursive data
varve delete -n data@m<TAB> | varve delete -n data@monday
varve delete --progress j<TAB> | varve delete --progress json
varve list --outp<TAB> na<TAB> | varve list --output name
varve list -o name,orig<TAB> | varve list -o name,origin
varve list -t volume,sn<TAB> | varve list -t volume,snapshot
varve dump segm<TAB> | varve dump segments
varve set da<TAB> quo<TAB>1G | varve set data quota=1G
varve set capa<TAB>1G | varve set capacity=1G
varve -s other.v<TAB> show el<TAB> | varve -s other.varve show elsewhere
varve -s other.varve show da<TAB> | varve -s other.varve show da
varve create da<TAB> | varve create da
varve export da<TAB>@t<TAB> other.v<TAB> | varve export data@tuesday other.varve
varve export data other.v<TAB> | varve export data other.varve
varve import da<TAB> other.v<TAB> | varve import da other.varve
varve import --format qc<TAB> new | varve import --format qcow2 new
varve export --format raw da<TAB> new | varve export --format raw data new
varve serve --control=/x --sock<TAB> y | varve serve --control=/x --socket y
varve --vers<TAB> | varve --version
varve serve --sock<TAB> other.v<TAB> | varve serve --socket other.varve
'

# A shell that reads lines.
type_at() {
	grep . <<<"$cases" | sed 's/ | .*//' >"$tmp/lines"
	(cd "$tmp" && python3 "$keys" "$@" <"$tmp/lines") >"$tmp/typed" ||
		fail "typing failed"
	grep . <<<"$cases" | sed 's/.* | //' >"$tmp/a"
	# [word] lines to lines of words
	sed 's/^\[\(.*\)\]$/\1/' "$tmp/typed" | awk '
		$0 == "--" { print substr(line, 2); line = ""; next }
		{ line = line " " $0 }' >"$tmp/b"
	diff "$tmp/a" "$tmp/b" || fail "$shell completes something else"
	checks=$(wc -l <"$tmp/a")
}

in_bash() {
	local library=/usr/share/bash-completion/bash_completion
	requires test -e $library
	requires_tools python3
	cat >"$tmp/bashrc" <<-EOF
	. $library
	. "$completion/varve.bash"
	PS1='ready> '
	bind 'set enable-bracketed-paste off'
	EOF
	type_at bash --noprofile --rcfile "$tmp/bashrc" -i
}

in_zsh() {
	requires_tools zsh python3
	cat >"$tmp/.zshrc" <<-EOF
	fpath=("$completion" \$fpath)
	autoload -U compinit && compinit -D -u
	bindkey -e
	unsetopt zle_bracketed_paste prompt_sp
	PS1='ready> '
	EOF
	ZDOTDIR=$tmp type_at zsh -i
}

# What all lines have in common at their beginnings.
common_prefix() {
	awk 'NR == 1 { p = $0; next }
		{ while (index($0, p) != 1) p = substr(p, 1, length(p) - 1) }
		END { print p }'
}

# fish says what it would offer; what all offers begin with it inserts.
in_fish() {
	local line want typed offer
	requires_tools fish
	while IFS='|' read -r line want; do
		typed=${line%<TAB>*}
		[ -n "${typed// /}" ] || continue
		# earlier Tab keys are those of other lines
		case $typed in *'<TAB>'*) continue ;; esac
		(cd "$tmp" && fish --no-config -c "source $completion/varve.fish
			complete -C '$typed'" </dev/null) >"$tmp/out" 2>"$tmp/err"
		[ ! -s "$tmp/err" ] || fail "$typed: an error"
		offer=$(cut -f1 "$tmp/out" | common_prefix)
		want=${want# }
		checks=$((checks + 1))
		# what was typed of the last word, and what it becomes
		case "$want " in
		"$typed "*) [ -z "$offer" ] || fail "$typed: $offer" ;;
		"${typed% *} $offer"*) [ -n "$offer" ] || fail "$typed: nothing" ;;
		*) fail "$typed: $offer, not $want" ;;
		esac
	done <<<"$cases"
	[ "$checks" -gt 15 ] || fail "only $checks lines"
}

"in_$shell"
passed
