/* Live values: one socket, drawn once per animation frame, paused or hidden without loss.
 *
 * Elements name what they show: data-live (a number), data-mark (bullet), data-fill (bar),
 * data-spark (last minutes), data-deviation, data-shape (alarm priority), data-measured (share),
 * data-state (machine). Charts name their figures: data-stream, data-figures, data-keep.
 */
(function () {
    'use strict';
    var root = document.documentElement;
    var STALE_MS = 5000, STALE_AGE_S = 15, KEPT = 900, SPARK = 60;
    var SHAPES = ['', '●', '◆', '▲', '■'];
    var now = {values: {}, quality: {}, measured: {}, alarms: {}, ids: [], t: 0, x: 1, o: 0, s: -1};
    var socket = null, address = '', wait = 500, retry = 0, heard = 0, age = 0, beats = 0;
    var waiting = [], points = {}, changed = {}, scheduled = false, dirty = true, index = {};

    function language() { return root.lang === 'en' ? 'en-GB' : 'vi-VN'; }
    var formats = {};
    function number(value, decimals) {
        var key = language() + decimals;
        formats[key] = formats[key] || new Intl.NumberFormat(language(), {
            minimumFractionDigits: decimals, maximumFractionDigits: decimals});
        return formats[key].format(value).replace('-', '\u2212');
    }

    /* What the page shows, by figure. */
    var SHOWN = ['live', 'mark', 'fill', 'spark', 'deviation', 'shape', 'measured', 'state'];
    function look() {
        index = {};
        SHOWN.forEach(function (kind) {
            document.querySelectorAll('[data-' + kind + ']').forEach(function (el) {
                var id = el.dataset[kind];
                (index[id] = index[id] || []).push([kind, el]);
            });
        });
        dirty = false;
    }

    function outside(el, value) {
        var owner = el.closest('[data-kpi],[data-limits]');
        if (!owner || value == null) { return ''; }
        if (owner.dataset.low !== undefined && value < +owner.dataset.low) { return '<'; }
        if (owner.dataset.high !== undefined && value > +owner.dataset.high) { return '>'; }
        return '';
    }

    /* What a number stands for: the place in a list of names, counted from 1. */
    function named(el, value) {
        return el.dataset.names ? JSON.parse(el.dataset.names)[value - 1] : '';
    }

    var draw = {
        live: function (el, value, id) {
            var decimals = +(el.dataset.decimals || 0), scale = +(el.dataset.scale || 1);
            var text = value == null ? '–' : named(el, value) || number(value * scale, decimals);
            if (el.textContent !== text) { el.textContent = text; }
            var quality = now.quality[id] || 0;
            el.classList.toggle('q1', quality === 1);
            el.classList.toggle('q2', quality === 2);
            var view = quality ? el.closest('.view') : null;
            var why = value == null ? 'unknown' : quality === 2 ? 'bad' : 'uncertain';
            var hint = view ? view.dataset[why] : '';
            if (el.title !== hint) { el.title = hint; }
            if (el.parentElement.parentElement && el.parentElement.dataset.limits) {
                el.classList.toggle('out', outside(el, value) !== '');
            }
        },
        mark: function (el, value) {
            if (value == null) { el.style.left = ''; return; }
            var from = +el.dataset.from, to = +el.dataset.to;
            var at = Math.max(0, Math.min(100, (value - from) / (to - from) * 100));
            el.style.left = at.toFixed(1) + '%';
            el.classList.toggle('out', outside(el, value) !== '');
        },
        fill: function (el, value) {
            var share = value == null ? 0 : Math.max(0, Math.min(1, value / +el.dataset.to));
            el.style.width = (share * 100).toFixed(1) + '%';
            el.classList.toggle('out', outside(el, value) !== '');
        },
        deviation: function (el, value) {
            var side = outside(el, value), owner = el.closest('[data-kpi],[data-limits]');
            var limit = side === '<' ? owner.dataset.low : owner && owner.dataset.high;
            var text = side === '' ? '' : (side === '<' ? '▼ < ' : '▲ > ') +
                number(+limit, +limit % 1 === 0 ? 0 : 1);
            if (el.textContent !== text) { el.textContent = text; }
        },
        shape: function (el, value) {
            var level = value || 0, tile = el.closest('.tile');
            el.textContent = SHAPES[level] || '';
            if (tile) {
                [1, 2, 3, 4].forEach(function (n) { tile.classList.toggle('alarm-' + n, n === level); });
            }
        },
        state: function (el, value) {
            el.className = 'machine state-' + (value == null ? 'none' : value);
        },
        measured: function (el, value, id) {
            var share = now.measured[id];
            el.textContent = share === undefined ? '–' : number(share * 100, 0) + ' %';
        },
        spark: function (el, value) { spark(el, value); }
    };

    function spark(el, value) {
        var kept = el.parkPoints;
        if (!kept) {
            kept = (el.dataset.points || '').split(',').filter(Boolean).map(Number);
            el.parkPoints = kept;
            el.parkAt = 0;
        }
        if (value != null && (now.t - el.parkAt >= 15000 || kept.length < 2)) {
            el.parkAt = now.t;
            kept.push(value);
        } else if (value != null) {
            kept[kept.length - 1] = value;
        }
        while (kept.length > SPARK) { kept.shift(); }
        if (kept.length < 2) { return; }
        var low = Math.min.apply(null, kept), high = Math.max.apply(null, kept);
        var spread = Math.max(high - low, Math.abs(high) * 0.02, 1e-9), middle = (high + low) / 2;
        var path = kept.map(function (v, i) {
            return (i ? 'L' : 'M') + (i / (kept.length - 1) * 100).toFixed(1) + ' ' +
                (13 - (v - middle) / spread * 20).toFixed(1);
        }).join('');
        var line = el.querySelector('path');
        if (!line) {
            el.innerHTML = '<svg viewBox="0 0 100 26" preserveAspectRatio="none"><path/></svg>';
            line = el.querySelector('path');
        }
        line.setAttribute('d', path);
    }

    function paint(all) {
        scheduled = false;
        if (document.hidden) { return; }
        if (dirty) { look(); all = true; }
        Object.keys(all ? index : changed).forEach(function (id) {
            (index[id] || []).forEach(function (part) {
                draw[part[0]](part[1], now.values[id], id);
            });
        });
        changed = {};
        chrome();
        extend();
    }
    function schedule() {
        if (!scheduled) { scheduled = true; requestAnimationFrame(function () { paint(false); }); }
    }

    /* Header: clock, speed, alarm counts. */
    function chrome() {
        var local = new Date(now.t + now.o * 60000).toISOString().slice(11, 19);
        document.querySelectorAll('[data-clock]').forEach(function (el) {
            if (now.t && el.textContent !== local) { el.textContent = local; }
        });
        document.querySelectorAll('[data-speed]').forEach(function (el) {
            el.textContent = now.x === 1 ? '' : number(now.x, now.x % 1 ? 1 : 0) + '×';
        });
        document.querySelectorAll('[data-alarms]').forEach(function (el) {
            var count = now.alarms[el.dataset.alarms];
            el.textContent = count === undefined ? '' : String(count);
            el.closest('[data-count]').toggleAttribute('data-none', !count);
        });
    }

    /* Charts: points wait here while the page is hidden or paused. */
    function remember() {
        document.querySelectorAll('[data-stream]').forEach(function (el) {
            var name = el.dataset.stream;
            var kept = points[name] = points[name] || {x: [], y: []};
            var stamp = new Date(now.t + now.o * 60000).toISOString().slice(0, 19);
            if (kept.x[kept.x.length - 1] === stamp) { return; }
            kept.x.push(stamp);
            kept.y.push(el.dataset.figures.split(',').map(function (id) {
                var value = now.values[id];
                return value === undefined ? null : value;
            }));
            if (kept.x.length > KEPT) { kept.x.shift(); kept.y.shift(); }
        });
    }
    function extend() {
        Object.keys(points).forEach(function (name) {
            var kept = points[name], el = document.querySelector('[data-stream="' + name + '"]');
            var plot = el && el.querySelector('.js-plotly-plot');
            if (!el) { delete points[name]; return; }
            if (!kept.x.length || !plot || !plot.data || !window.dash_clientside) { return; }
            var count = el.dataset.figures.split(',').length, traces = [], x = [], y = [];
            for (var i = 0; i < count; i++) {
                traces.push(i);
                x.push(kept.x.slice());
                y.push(kept.y.map(function (row) { return row[i]; }));
            }
            delete points[name];
            window.dash_clientside.set_props(name, {
                extendData: [{x: x, y: y}, traces, +(el.dataset.keep || KEPT)]});
        });
    }

    /* Frames. */
    function take(frame) {
        if (frame.ids) {
            now.ids = frame.ids;
            now.values = {}; now.quality = {}; now.measured = {};
            now.o = frame.o;
            dirty = true;
        }
        merge('v', now.values); merge('q', now.quality); merge('m', now.measured);
        function merge(part, into) {
            Object.keys(frame[part] || {}).forEach(function (place) {
                var id = now.ids[place];
                into[id] = frame[part][place];
                changed[id] = true;
            });
        }
        now.t = frame.t; now.x = frame.x; now.s = frame.s;
        if (frame.a) {
            var before = JSON.stringify(now.alarms);
            now.alarms = frame.a;
            if (before !== '{}' && before !== JSON.stringify(frame.a)) { beat(); }
        }
        remember();
        schedule();
    }
    function arrived(message) {
        var frame = JSON.parse(message.data);
        heard = Date.now();
        age = frame.g;
        wait = 500;
        freshness();
        if (paused()) {
            waiting.push(frame);
            if (waiting.length > KEPT) { waiting.splice(0, 1); waiting.broken = true; }
            return;
        }
        take(frame);
    }

    function paused() { return root.hasAttribute('data-paused'); }
    function freshness() {
        var stale = heard > 0 && (Date.now() - heard > STALE_MS || age > STALE_AGE_S);
        root.toggleAttribute('data-stale', stale);
    }

    /* The socket. */
    function connect() {
        clearTimeout(retry);
        if (!address) { return; }
        var mine = socket = new WebSocket(address);
        mine.onmessage = function (message) { if (mine === socket) { arrived(message); } };
        mine.onclose = function () {
            if (mine !== socket) { return; }
            retry = setTimeout(connect, wait * (0.5 + Math.random()));
            wait = Math.min(15000, wait * 2);
        };
    }
    function watch() {
        var view = document.querySelector('.view');
        if (!view) { return; }
        if (document.title !== view.dataset.title) { document.title = view.dataset.title; }
        var scheme = location.protocol === 'https:' ? 'wss://' : 'ws://';
        var wanted = scheme + location.host + '/live?park=' + encodeURIComponent(view.dataset.park) +
            '&profile=' + encodeURIComponent(view.dataset.profile);
        if (wanted !== address) {
            var old = socket;
            address = wanted;
            socket = null;
            if (old) { old.close(); }
            waiting = [];
            wait = 500;
            connect();
        }
        dirty = true;
        schedule();
    }

    /* A slow beat for what no figure tells; a hidden or paused page asks for nothing. */
    function beat() {
        if (!document.hidden && !paused() && window.dash_clientside && document.querySelector('.view')) {
            window.dash_clientside.set_props('beat', {data: ++beats});
        }
    }
    setInterval(beat, 15000);
    setInterval(function () { if (document.querySelector('[data-fast]')) { beat(); } }, 2000);
    setInterval(freshness, 1000);

    document.addEventListener('visibilitychange', function () {
        if (!document.hidden) { dirty = true; schedule(); beat(); }
    });
    document.addEventListener('click', function (event) {
        var button = event.target.closest('[data-pause-switch]');
        if (!button) { return; }
        root.toggleAttribute('data-paused');
        button.setAttribute('aria-pressed', String(paused()));
        if (!paused()) {
            var frames = waiting;
            waiting = [];
            if (frames.broken) { address = ''; watch(); } else { frames.forEach(take); }
            beat();
        }
    });

    var looking = 0;
    new MutationObserver(function (records) {
        var structural = records.some(function (record) {
            return !record.target.closest || !record.target.closest('.js-plotly-plot,.spark,[data-live],[data-clock]');
        });
        if (structural && !looking) {
            looking = requestAnimationFrame(function () { looking = 0; watch(); });
        }
    }).observe(document.body, {childList: true, subtree: true});
    window.parkLive = {state: now, beat: beat, cut: function () { if (socket) { socket.close(); } }};
})();
