"""Every model on one shop's logs: fitted to the same days, tuned alike, asked the same, with what each costs.

    question → folder → jobs, each in a process of its own → results → page, figures, one sentence

Nothing here touches a published table or a model of the registry.
"""
