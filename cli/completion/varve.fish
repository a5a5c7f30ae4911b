# SPDX-License-Identifier: BSD-2-Clause
#
# Verbs, options and what they take come from `varve VERB --help`, names of
# volumes and snapshots from the store.

# __varve_help VERB SED-SCRIPT
function __varve_help
    set -l verb $argv[1]
    test -n "$verb"; or set verb help
    varve $verb --help 2>/dev/null | sed -n $argv[2]
end

# __varve_kind VERB OPTION: what it takes, as the help calls it; "": nothing.
function __varve_kind
    switch $argv[2]
        case '--*=*'
        case '--*'
            __varve_help "$argv[1]" "s/^  .\{4\}$argv[2] \([A-Z]*\) .*/\1/p"
        case '-?'
            __varve_help "$argv[1]" "s/^  $argv[2], --[a-z-]* \([A-Z]*\) .*/\1/p"
    end
end

# __varve_list WORD...: behind what a list with commas has already.
function __varve_list
    set -l before (string match -r '^.*,' -- (commandline -ct))
    printf '%s\n' "$before"$argv
end

# __varve_argument VERB KIND: what an option takes, as its help calls it.
function __varve_argument
    switch $argv[2]
        case STORE PATH FILE
            __fish_complete_path (commandline -ct)
        case DIR
            __fish_complete_directories (commandline -ct)
        case GROUP
            __fish_complete_groups
        case HOW
            printf '%s\n' none bar json
        case FORMAT
            printf '%s\n' raw qcow2
        case TYPE
            __varve_list volume snapshot hidden all
        case COLUMNS
            __varve_list (__varve_help $argv[1] \
                '/^Columns:/,/\./{s/^Columns://;s/\..*//;p}' |
                string split -n ' ')
    end
end

# __varve_operand VERB NUMBER STORE-OPTION...: what the usage line says.
function __varve_operand
    set -l verb $argv[1]
    set -l number $argv[2]
    set -l list varve $argv[3..] list -H -o name -t
    set -l synopsis (__varve_help $verb '1s/^usage: varve \[-s STORE\] [a-z]* *//p')
    switch "$verb:$synopsis"
        case '*FILE*'
            if test $number -gt 0
                __fish_complete_path (commandline -ct)
            else if test $verb != import
                $list all 2>/dev/null
            end
        case 'help:*'
            varve help 2>/dev/null | sed -n 's/^  \([a-z]*\)  */\1\t/p'
        case 'dump:*'
            printf '%s\n' super log segments volumes nodes all
        case 'create:*'
        case 'set:*'
            if test $number -gt 0
                printf '%s\n' quota= reservation= on-full=error on-full=pause
            else
                $list volume 2>/dev/null
                echo capacity=
            end
        case 'snapshot:*'
            $list volume 2>/dev/null | sed 's/$/@/'
        case 'clone:*'
            test $number -gt 0; or $list snapshot 2>/dev/null
        case 'rollback:*'
            $list snapshot 2>/dev/null
        case 'rename:*' '*VOLUME@SNAPSHOT*'
            $list all 2>/dev/null
        case '*VOLUME*'
            $list volume 2>/dev/null
        case '*STORE*'
            __fish_complete_path (commandline -ct)
    end
    if string match -q '*/dev/*' -- $synopsis; and string match -q '/*' -- (commandline -ct)
        __fish_complete_path (commandline -ct)
    end
end

function __varve_complete
    set -l words (commandline -opc)
    set -l verb
    set -l store
    set -l number 0
    set -l i 2
    while test $i -le (count $words)
        switch $words[$i]
            case -s --store
                set i (math $i + 1)
                test $i -le (count $words); and set store -s $words[$i]
            case '--store=*'
                set store $words[$i]
            case '-*'
                if test -n "$(__varve_kind "$verb" $words[$i])"
                    set i (math $i + 1)
                end
            case '*'
                if test -z "$verb"
                    set verb $words[$i]
                else
                    set number (math $number + 1)
                end
        end
        set i (math $i + 1)
    end
    set -l kind (__varve_kind "$verb" $words[-1])
    if test -n "$kind"
        __varve_argument "$verb" $kind
    else if string match -q -- '-*' (commandline -ct)
        __varve_help "$verb" 's/^  .\{4\}\(--[a-z-]*\)\( [A-Z]*\)\{0,1\}  *\(.*\)/\1\t\3/p'
    else if test -z "$verb"
        __varve_operand help 0
    else
        __varve_operand $verb $number $store
    end
end

complete -c varve -f -k -a '(__varve_complete)'
