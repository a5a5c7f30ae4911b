# bash completion for varve(1)                             -*- shell-script -*-
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Verbs, options and what they take come from `varve VERB --help`, names of
# volumes and snapshots from the store.

# _varve_help SED-SCRIPT: of the verb's help.
_varve_help()
{
	varve "${verb:-help}" --help 2>/dev/null | sed -n "$1"
}

# _varve_kind OPTION: what it takes, as the verb's help calls it; "": nothing.
_varve_kind()
{
	case $1 in
	--*=*) ;;
	--*) _varve_help "s/^  .\{4\}$1 \([A-Z]*\) .*/\1/p" ;;
	-?) _varve_help "s/^  $1, --[a-z-]* \([A-Z]*\) .*/\1/p" ;;
	esac
}

# _varve_names TYPES [SUFFIX]
_varve_names()
{
	varve "${store[@]}" list -H -o name -t "$1" 2>/dev/null |
		sed "s/\$/${2-}/"
}

# _varve_offer WORD...: those that begin with what is typed.
_varve_offer()
{
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# The same for the last word of a list with commas.
_varve_offer_list()
{
	local before='' word
	[[ $cur != *,* ]] || before=${cur%,*},
	local words=()
	for word; do
		words+=("$before$word")
	done
	_varve_offer "${words[@]}"
	compopt -o nospace
}

# _varve_argument KIND: what an option takes, as its help calls it.
_varve_argument()
{
	# shellcheck disable=SC2046
	case $1 in
	STORE | PATH | FILE | DIR) compopt -o default ;;
	GROUP) _varve_offer $(compgen -g) ;;
	HOW) _varve_offer none bar json ;;
	FORMAT) _varve_offer raw qcow2 ;;
	TYPE) _varve_offer_list volume snapshot hidden all ;;
	COLUMNS)
		_varve_offer_list $(_varve_help '/^Columns:/,/\./{s/^Columns://;s/\..*//;p}')
		;;
	esac
}

# What the usage line says of operands.
_varve_operand()
{
	local synopsis
	synopsis=$(_varve_help '1s/^usage: varve \[-s STORE\] [a-z]* *//p')
	# shellcheck disable=SC2046
	case $verb:$synopsis in
	*:*FILE*)
		if [ "$nr_operands" -gt 0 ]; then
			compopt -o default
		elif [ "$verb" != import ]; then
			_varve_offer $(_varve_names all)
		fi
		;;
	help:*)
		_varve_offer $(varve help 2>/dev/null |
			sed -n 's/^  \([a-z]*\)  .*/\1/p')
		;;
	dump:*) _varve_offer super log segments volumes nodes all ;;
	create:*) ;;
	set:*)
		if [ "$nr_operands" -gt 0 ]; then
			_varve_offer quota= reservation= on-full=error \
				on-full=pause
		else
			_varve_offer $(_varve_names volume) capacity=
		fi
		[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace
		;;
	snapshot:*)
		_varve_offer $(_varve_names volume @)
		compopt -o nospace
		;;
	clone:*)
		[ "$nr_operands" -gt 0 ] ||
			_varve_offer $(_varve_names snapshot)
		;;
	rollback:*) _varve_offer $(_varve_names snapshot) ;;
	rename:* | *:*VOLUME@SNAPSHOT*) _varve_offer $(_varve_names all) ;;
	*:*VOLUME*) _varve_offer $(_varve_names volume) ;;
	*:*STORE*) compopt -o default ;;
	esac
	[[ $synopsis:$cur != */dev/*:/* ]] || compopt -o default
}

_varve()
{
	local cur prev words cword
	_init_completion -n '@:=' || return
	local verb='' store=() nr_operands=0 kind i

	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		-s | --store) store=(-s "${words[++i]}") ;;
		--store=*) store=("${words[i]}") ;;
		-*) [ -z "$(_varve_kind "${words[i]}")" ] || ((i++)) ;;
		*)
			if [ -z "$verb" ]; then
				verb=${words[i]}
			else
				((nr_operands++))
			fi
			;;
		esac
	done
	kind=$(_varve_kind "$prev")
	if [ -n "$kind" ]; then
		_varve_argument "$kind"
	elif [[ $cur == -* ]]; then
		# shellcheck disable=SC2046
		_varve_offer $(_varve_help 's/^  .\{4\}\(--[a-z-]*\).*/\1/p')
	elif [ -z "$verb" ]; then
		verb=help _varve_operand
	else
		_varve_operand
	fi

	# readline replaces only what stands behind the last of its separators
	if [[ $cur == *[@=]* && $COMP_WORDBREAKS == *@* ]]; then
		COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*[@=]}"}"}")
	fi
} && complete -F _varve varve
