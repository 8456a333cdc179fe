//! The prose of the runbooks.

/// A page; each step is one sentence that occurs nowhere else.
pub(super) struct Page {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) symptoms: &'static str,
    pub(super) steps: [&'static str; 4],
    pub(super) escalation: &'static str,
    /// A question and the index of the step that answers it.
    pub(super) questions: [(&'static str, usize); 2],
}

pub(super) const PAGES: [Page; 12] = [
    Page {
        code: "E4102",
        title: "Disk almost full",
        symptoms: "A volume is more than 80 percent full. Writes slow down, and once nothing is left uploads fail \
                   and the service stops taking new data. The log names the volume and the share in use.",
        steps: [
            "List the largest folders of the volume with du and note their owners.",
            "Delete rotated log files older than seven days from the full volume.",
            "Empty the upload staging folder if usage is still above 80 percent.",
            "Check after ten minutes that the volume stays below 75 percent.",
        ],
        escalation: "If usage climbs again within an hour, call the storage team and ask for a larger volume. Never \
                     delete database files to win time.",
        questions: [
            ("Which files may I delete when a volume is nearly full?", 1),
            ("How low must disk usage be after a clean-up?", 3),
        ],
    },
    Page {
        code: "E2307",
        title: "Repeated failed logins",
        symptoms: "One address tries many passwords, or one user fails again and again. The log shows the user, the \
                   address and the number of tries. Real customers may notice slow sign-in while this lasts.",
        steps: [
            "Count the failed logins per address over the last fifteen minutes.",
            "Block the attacking address at the firewall for 24 hours.",
            "Reset the password of every user who was signed in from that address.",
            "Write the blocked address into the security diary.",
        ],
        escalation: "If more than ten addresses take part, wake the security officer: this is an attack on many \
                     fronts and single blocks will not end it.",
        questions: [
            ("For how long is an address blocked that guesses passwords?", 1),
            ("Where do I record an address that I have blocked?", 3),
        ],
    },
    Page {
        code: "E5120",
        title: "Upstream timeout",
        symptoms: "A request to another machine got no reply in time. Pages load slowly and clients see gateway \
                   errors. Most timeouts pass by themselves when the upstream has finished a busy minute.",
        steps: [
            "Open the dashboard of the upstream and compare its latency with yesterday.",
            "Retry the failed requests after five minutes with a growing pause between tries.",
            "Lower the traffic to the slow upstream by half if retries fail as well.",
            "Note the slowest request of the hour in the ticket.",
        ],
        escalation: "If the upstream stays slow for thirty minutes, hand the ticket to the network team together with \
                     the times of three failed requests.",
        questions: [
            ("When should requests that timed out be tried again?", 1),
            ("What if retries to a slow upstream fail too?", 2),
        ],
    },
    Page {
        code: "E6001",
        title: "Out of memory",
        symptoms: "A worker asked for more memory than the machine has and was killed, or is about to be. Sessions \
                   are lost and users must start again. The log shows the amount that was asked for.",
        steps: [
            "Save a heap snapshot of the worker before anything else happens.",
            "Restart the service on the affected host, one worker at a time.",
            "Watch the memory curve for twenty minutes after the restart.",
            "Attach the heap snapshot to the bug report of the owning team.",
        ],
        escalation: "This is critical: page the owner of the service at once, day or night, when the same host runs \
                     out of memory twice in one day.",
        questions: [
            ("How do I bring a service back whose worker was killed for memory?", 1),
            ("How long do I watch memory after a restart?", 2),
        ],
    },
    Page {
        code: "E3310",
        title: "Certificate about to expire",
        symptoms: "A TLS certificate ends within thirty days. Nothing is broken yet, but browsers will refuse the \
                   site on the day it ends. The log counts the days that are left.",
        steps: [
            "Read the names in the certificate and compare them with the inventory.",
            "Order a new certificate from the internal authority and install it on every node.",
            "Reload the listener so that it serves the new certificate.",
            "Confirm the new end date with an openssl check from outside.",
        ],
        escalation: "With fewer than three days left, tell the duty manager, because orders by the normal way take \
                     two working days.",
        questions: [
            ("Where do I get a new TLS certificate?", 1),
            ("How do I check that the renewed certificate is live?", 3),
        ],
    },
    Page {
        code: "E7204",
        title: "Queue backlog",
        symptoms: "Jobs arrive faster than workers finish them. Mails, invoices and reports come late, and the oldest \
                   job grows older by the minute. The log shows how many jobs are waiting.",
        steps: [
            "Find out which kind of job makes up most of the backlog.",
            "Add two workers to the pool and wait until the backlog shrinks.",
            "Pause nightly report jobs while customers are waiting.",
            "Remove the extra workers when fewer than fifty jobs are waiting.",
        ],
        escalation: "If four extra workers do not help, ask the team that sends the jobs to slow down its producer, \
                     and announce the delay on the status page.",
        questions: [
            ("How many workers do I add when jobs pile up?", 1),
            ("When can the extra workers be removed again?", 3),
        ],
    },
    Page {
        code: "E1408",
        title: "Bad configuration",
        symptoms: "A configuration file has an unknown key or cannot be parsed, and the service runs on defaults \
                   instead. Everything works, but a setting that someone believes in has no effect.",
        steps: [
            "Compare the file on the host with the version in the repository.",
            "Correct the wrong key in the repository and roll the file out again.",
            "Run the configuration checker on all hosts of the same role.",
            "Tell the author of the change which key was misspelled.",
        ],
        escalation: "No need to wake anybody: leave a ticket for the platform team, unless the ignored setting \
                     protects data. Then treat it as urgent.",
        questions: [
            ("Where do I correct an unknown key of a config file?", 1),
            ("Which hosts must be examined after a config mistake?", 2),
        ],
    },
    Page {
        code: "E8815",
        title: "Database deadlock",
        symptoms: "Two transactions wait for each other, or one query holds a table that all others need. Orders hang \
                   and connection pools fill up. The log names the table and how long it has been locked.",
        steps: [
            "Look up the blocking query in the list of running statements.",
            "Kill the query that has been holding the lock the longest.",
            "Verify that waiting transactions continue within one minute.",
            "Send the text of the killed query to its author.",
        ],
        escalation: "If deadlocks on the same table return three times in an hour, call the database administrator \
                     and stop the batch that causes them.",
        questions: [
            ("Which query do I kill when a table is locked?", 1),
            ("How soon should waiting transactions go on?", 2),
        ],
    },
    Page {
        code: "E9003",
        title: "Replica behind its primary",
        symptoms: "A replica lags behind or has lost its position. Readers see old data, and a failover to this \
                   machine would lose orders. The log shows the address of the replica.",
        steps: [
            "Take the lagging replica out of the pool of readers.",
            "Resync the replica from last night's snapshot and let it catch up.",
            "Compare row counts of the five largest tables on both sides.",
            "Put the replica back when its lag is below two seconds.",
        ],
        escalation: "If two replicas lag at the same time, call the database administrator before you resync: the \
                     primary may be the cause.",
        questions: [
            ("From what do I rebuild a replica that lost its position?", 1),
            ("At which lag may a replica serve readers again?", 3),
        ],
    },
    Page {
        code: "E2750",
        title: "Rate limit reached",
        symptoms: "A client has used up its quota of calls and gets refusals. Other clients are not touched. The log \
                   names the client or its address and, for most limits, the number of calls.",
        steps: [
            "Look at the client's calls of the last day and judge whether they are honest.",
            "Raise the limit of an honest client by half until the end of the month.",
            "Send the client our advice on batching calls.",
            "Leave the limit of a suspicious client as it is.",
        ],
        escalation: "Questions of money go to the sales team: a client who needs more than twice the quota for good \
                     should change to another plan.",
        questions: [
            ("By how much do I raise the quota of an honest client?", 1),
            ("What happens to the quota of a suspicious client?", 3),
        ],
    },
    Page {
        code: "E5533",
        title: "Name resolution fails",
        symptoms: "Machines cannot resolve internal names, so every call to another service fails at once. Many \
                   alarms ring together, and this one is the cause of the others. Addresses still work.",
        steps: [
            "Ask both resolvers for the same name and see which one answers.",
            "Switch all hosts to the second resolver with the emergency playbook.",
            "Flush the name caches of the gateways after the switch.",
            "Keep the broken resolver switched off until its zone file is checked.",
        ],
        escalation: "Critical: page the network team and the duty manager together, and open a conference call. Do \
                     not wait to see whether it heals.",
        questions: [
            ("What do I do with the hosts when internal names do not resolve?", 1),
            ("What must be flushed after the resolver switch?", 2),
        ],
    },
    Page {
        code: "E6642",
        title: "Crash loop after a deploy",
        symptoms: "A worker starts, fails and starts again. It began shortly after a release, and each restart drops \
                   the requests in flight. The log shows the exit code or the number of restarts.",
        steps: [
            "Stop the automatic restarts so that the logs of the crash survive.",
            "Roll back to the previous release on all hosts of the service.",
            "Freeze further deploys until the cause is understood.",
            "Copy the last hundred lines before the crash into the ticket.",
        ],
        escalation: "Critical: page the author of the release. If the previous release crashes as well, the data has \
                     changed, and the owner of the service must join.",
        questions: [
            ("To which version do I return when workers crash after a release?", 1),
            ("May others deploy during a crash loop?", 2),
        ],
    },
];
