"""The sentences that commands print, in one place so that they can be translated. Values are filled in by name."""

TEXTS = {
    "eta": "about {time} left",
    "goes_on": (
        "Interrupted. The service goes on with {job}: `canemap jobs {job} --follow` waits for it again, "
        "`canemap jobs {job} --dismiss` ends it."
    ),
    "interrupted": "Interrupted.",
    "calibrated": (
        "probabilities: temperature {temperature}, calibration error {val_before} -> {val_after} on val, "
        "{test_before} -> {test_after} on test"
    ),
    "approval_on": "The aliases of {name} are moved by keys with the scope approve alone.",
    "approval_off": "The aliases of {name} are moved by all keys that may train.",
    "grants": "tenant {name} may use: {models}",
    "erase": "Erase tenant {name} with everything that it has? Only a backup brings it back.",
    "erased": "tenant {name} is erased",
    "aborted": "Nothing was done: the question was not answered with yes.",
    "unreachable": (
        "The service at {url} cannot be reached ({reason}). Start it with `canemap up`, or set CANEMAP_URL to the "
        "address at which it runs."
    ),
    "bad_url": "CANEMAP_URL is {url!r}, which is no address ({reason}). Write it like http://127.0.0.1:8000.",
    "no_package": "`{command}` needs the package {package}, which is not installed. Run: pip install 'canemap[api]'",
    "bad_setting": "{variable}: {reason}.",
    "bad_settings": "The settings cannot be used: correct or unset these variables of the environment.",
    "no_file": "{path}: {reason}.",
    "no_database": "The database cannot be used: {reason}. Start it, or correct CANEMAP_DATABASE_URL.",
    "unknown_variable": "{variable} is no setting of canemap and has no effect{nearest}",
    "nearest": "; did you mean {name}?",
    "folder_in_use": "Another canemap runs on the data folder {folder}: end it, or choose another folder.",
    "port_in_use": "Port {port} of {host} cannot be used ({reason}): choose another one, or 0 for any.",
    "child_ends": "The service cannot start: its process {child!r} ends again and again.",
    "not_ready": "The service did not become ready in {seconds:.0f} s.",
    "see_log": "The end of its log, {log}:",
    "ready": "canemap is ready: {url} (data in {folder}; {log}; Ctrl-C ends it)",
    "log_in": "log in {log}",
    "log_here": "log on this terminal",
    "starting": "Starting canemap ...",
    "no_worker": (
        "Trainings and predictions need {packages}, which {verb} not installed. Run: pip install 'canemap[worker]'. "
        "The API alone, for workers on other machines, is `canemap serve`."
    ),
    "no_workers_here": "A worker needs {packages}, which {verb} not installed. Run: pip install 'canemap[worker]'",
    "no_queue": "{unknown}; the queues are {known}.",
    "no_host": "{host!r} is no address of this machine.",
    "not_loopback": (
        "{host} can be reached from other machines, and CANEMAP_AUTH is none: anybody could use the service. "
        "Take that setting away, so that requests need a key, or bind to 127.0.0.1."
    ),
    "no_check": "{unknown}; known are {known}",
    "bad_store": "CANEMAP_STORE_URL names no store: {reason}.",
    "no_schema": "{detail} Run `canemap migrate` first.",
    "no_data_folder": (
        "The data folder {folder} cannot be used: {path}: {reason}. Choose another one with --data or CANEMAP_DATA_DIR."
    ),
    "no_folder": (
        "There is no data folder {folder}. Name the folder of a service with --data or CANEMAP_DATA_DIR; "
        "`canemap up` and `canemap migrate` make one."
    ),
    "empty_folder": (
        "The folder {folder} holds no data of canemap. Name the folder of a service with --data or CANEMAP_DATA_DIR; "
        "`canemap up` and `canemap migrate` make one."
    ),
    "no_sqlite": (
        "The database in the data folder {folder} cannot be used: {reason}. Check the owner and the free space of the "
        "folder, or choose another one with --data."
    ),
    "more": "There are more: --limit lists more than {limit}.",
    "several": "These files were refused: {names}.",
    "kept_title": (
        "The {kind} {id} was there before, and keeps its title {found!r}: `canemap title {kind} {id} {wanted!r}` "
        "changes it."
    ),
    "uploading": "uploading",
    "one_name": "there is one name, but several files",
    "scene": "scene {id}: {rows} x {cols} px, bands {bands}, {gsd:.2f} m",
    "labels": "labels {id}: {kind}, {features} features, {crs}",
    "zones": "zones {id}: {kind}, {zones} zones, {crs}, {area_ha:,.2f} ha",
    "and_more": " and {count} more",
    "saved": "{count} files are in {folder}.",
    "tiles": "Its tiles, for web maps and QGIS: {url}",
    "name_the_job": "name the job",
    "one_of": "choose one of them",
    "registered": "registered {name} version {version}",
    "not_registered": "{id} has ended; no model was registered",
    "no_champion": "{name}@champion still has no version: `canemap promote {name} {version}` moves it.",
    "not_champion": (
        "{name}@champion is still version {champion}: `canemap promote {name} {version}` moves it, and `--model "
        "{name}:{version}` uses the new one without that."
    ),
    "no_bounds": "write METRIC=VALUE, for instance recall=-0.02",
    "no_pair": "{given!r} is not KEY=VALUE, like net.width=16.",
    "no_section": "{given!r}: {name!r} has a value already and cannot have keys.",
    "no_json": "{file} is no JSON with a config: {reason}.",
    "no_classes": "write sugarcane=1,*=0, or a JSON object with a whole number for each name.",
    "no_numbers": "{given!r} is no list of numbers. Write them like {example}.",
    "percent": "They are shares of 1, kappa between -1 and 1. Write {shares} if yours are percent.",
    "new_key": "key {id} of tenant {tenant}, scope {scope}, expires {expires}. It is shown only now:",
    "never": "never",
    "revoked": "key {id} is refused from now on; other processes refuse it within 10 seconds.",
    "no_scope": "{written!r} is not one of {scopes}.",
    "bad_period": "{text!r} is no length of time. Write a number of days, hours or minutes: 90d, 12h, 30m.",
    "new_secret": "webhook {id} leads to {url}. Its secret signs all messages, and is shown only now:",
    "new_webhook": "`canemap webhooks test {id}` sends a first message to it.",
    "enabled": "webhook {id} is enabled",
    "disabled": "webhook {id} is disabled: {why}",
    "deleted_webhook": "webhook {id} and its deliveries are deleted",
    "delivery": "delivery {id}: {status}. {what}",
    "no_limit": "no limit",
    "bad_amount": "{written!r} is no amount. Write 100, 500GB, 20G, default or none.",
    "asks_to_wait": "{detail} Trying again in {seconds:.0f} s.",
    "list_them": "`canemap {command}` lists those that there are.",
    "needs_key": "Set CANEMAP_KEY to a key of this service.",
    "needs_scope": "Ask whoever runs the service for a key that may do this, and set CANEMAP_KEY to it.",
    "one_prediction": "A file has the areas of one prediction. Use --csv for a table of several.",
    "no_format": "{file} has none of the endings {known}.",
    "saved_points": "The points are in {file}: fill in class, or unusable with the reason.",
    "answers_changed": "{count} answers are new or other than before.",
    "no_mosaic": "Survey {id} has no mosaic: its job is {status}.",
    "mosaic": "survey {id}: {rows} x {cols} px in {crs}, {observed_ha:,.2f} ha observed, {unobserved_ha:,.2f} ha not",
    "no_estimate": "No estimate: {why}",
    "overall": "Overall accuracy: {share} %",
    "no_points": "Sample {id} has no points: its job is {status}.",
}


def text(key: str, **values: object) -> str:
    """The sentence with the key `key`. values: what is filled in, by name."""
    return TEXTS[key].format(**values)


def duration(seconds: float) -> str:
    """A time in words: 8 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
