# Python 2. Runs the Autobahn test suite, of which scripts/autobahn.sh has put the libraries into the folder SITE:
#
#   suite.py SITE list PATTERN... [-- EXCLUDED...]    prints the cases
#   suite.py SITE client FOLDER URL AGENT             runs the cases of FOLDER/cases against a server, reports into FOLDER
#   suite.py SITE server FOLDER URL AGENT             waits at URL for clients, for the same
#
# Its own program, wstest, needs libraries which only its other modes use: this takes the fuzzing client and server from inside.
import json
import os
import site
import sys
import types

site.addsitedir(sys.argv[1])


def stand_in(name, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module
    return module


# The suite makes contexts of TLS, which ws:// does not use, and imports all its other modes with the package.
import twisted.internet

twisted.internet.ssl = stand_in('twisted.internet.ssl', ClientContextFactory=object)
stand_in('autobahntestsuite.wstest')

from autobahntestsuite import choosereactor, fuzzing
from autobahntestsuite.caseset import CaseSet
from twisted.internet import reactor


def patterns(given):
    """As the suite has them, but that `*` alone is all, and `6.4` all of 6.4."""
    return [one if '*' in one or one.count('.') > 1 or one in NAMES else one + '.*' for one in given]


if sys.argv[2] == 'list':
    cases = CaseSet(fuzzing.CaseSetname, fuzzing.CaseBasename, fuzzing.Cases, {}, {})
    NAMES = cases.CasesIndices
    given = sys.argv[3:]
    parts = (given, []) if '--' not in given else (given[:given.index('--')], given[given.index('--') + 1:])
    spec = {'cases': patterns(parts[0]), 'exclude-cases': patterns(parts[1])}
    for one in cases.parseSpecCases(spec):
        if one in NAMES:
            print(one)
    sys.exit()

mode, folder, url, agent = sys.argv[2:]
with open(os.path.join(folder, 'cases')) as cases:
    # A busy machine may take longer than the second that the library gives a peer to close.
    options = {'openHandshakeTimeout': 10, 'closeHandshakeTimeout': 5, 'serverConnectionDropTimeout': 5}
    spec = {'outdir': folder, 'cases': cases.read().split(), 'exclude-cases': [], 'exclude-agent-cases': {}}
if mode == 'client':
    spec['servers'] = [{'agent': agent, 'url': url, 'options': options}]
    fuzzing.startClient(spec)
else:
    del options['serverConnectionDropTimeout']
    spec.update(url=url, options=options)
    fuzzing.startServer(spec, 0)
reactor.run()
