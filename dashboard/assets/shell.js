/* Language and theme are kept in cookies, because the server draws figures for both;
 * a switch of theme repaints the figures here, colour by colour. */
(function () {
    'use strict';
    var root = document.documentElement;
    var asked = new URLSearchParams(location.search);

    function keep(name, value) {
        document.cookie = name + '=' + value + ';path=/;max-age=31536000;samesite=lax';
    }
    function kept(name) {
        var found = document.cookie.match('(?:^|; )' + name + '=([^;]*)');
        return found ? found[1] : '';
    }

    if (!asked.get('theme') && !kept('parktwin_theme') &&
        window.matchMedia('(prefers-color-scheme: dark)').matches) {
        root.dataset.theme = 'dark';
    }
    keep('parktwin_theme', root.dataset.theme);
    keep('parktwin_lang', root.lang);
    root.toggleAttribute('data-kiosk', asked.get('kiosk') === '1');

    var pairs = null;
    function colours() {
        if (pairs) { return pairs; }
        pairs = {};
        var now = root.dataset.theme, values = {};
        ['light', 'dark'].forEach(function (theme) {
            root.dataset.theme = theme;
            var style = getComputedStyle(root);
            values[theme] = NAMES.map(function (name) {
                return style.getPropertyValue('--' + name).trim().toLowerCase().replace(/\s/g, '');
            });
        });
        root.dataset.theme = now;
        NAMES.forEach(function (_, i) {
            pairs['light ' + values.light[i]] = values.dark[i];
            pairs['dark ' + values.dark[i]] = values.light[i];
        });
        return pairs;
    }
    var NAMES = ['bg', 'surface', 'raised', 'hover', 'border', 'control', 'text', 'muted', 'grid',
        'trace1', 'trace2', 'trace3', 'fill', 'fill2', 'band', 'band50', 'band2', 'link', 'critical', 'high',
        'medium', 'low', 'shelved', 'focus'];

    function repainted(value, from) {
        if (typeof value === 'string') {
            if (value[0] !== '#' && value.slice(0, 3) !== 'rgb') { return value; }
            return colours()[from + ' ' + value.toLowerCase().replace(/\s/g, '')] || value;
        }
        if (Array.isArray(value)) {
            return typeof value[0] === 'number' ? value : value.map(function (v) {
                return repainted(v, from);
            });
        }
        if (value && typeof value === 'object' && !ArrayBuffer.isView(value)) {
            var copy = {};
            Object.keys(value).forEach(function (key) {
                if (key[0] !== '_') { copy[key] = repainted(value[key], from); }
            });
            return copy;
        }
        return value;
    }

    document.addEventListener('click', function (event) {
        var button = event.target.closest('[data-language]');
        if (button) {
            root.lang = button.dataset.language;
            keep('parktwin_lang', root.lang);
            window.dash_clientside.set_props('language', {data: root.lang});
            return;
        }
        var pick = event.target.closest('[data-pick] button');
        if (pick) {
            var group = pick.parentElement, several = group.dataset.several === '1';
            group.querySelectorAll('button').forEach(function (each) {
                var on = several ? (each === pick) !== (each.getAttribute('aria-pressed') === 'true') : each === pick;
                each.setAttribute('aria-pressed', String(on));
            });
            var values = Array.from(group.querySelectorAll('button[aria-pressed=true]'), function (each) {
                return each.dataset.value;
            });
            var name = group.dataset.pick;
            window.dash_clientside.set_props(name[0] === '{' ? JSON.parse(name) : name, {value: values.join(',')});
            return;
        }
        if (event.target.closest('[data-theme-switch]')) {
            var from = root.dataset.theme;
            colours();
            root.dataset.theme = from === 'light' ? 'dark' : 'light';
            keep('parktwin_theme', root.dataset.theme);
            document.querySelectorAll('.js-plotly-plot').forEach(function (plot) {
                var figure = {data: repainted(plot.data, from), layout: repainted(plot.layout, from)};
                window.dash_clientside.set_props(plot.parentElement.id, {figure: figure});
            });
            return;
        }
        /* A note closes when something else is clicked. */
        document.querySelectorAll('details.info[open]').forEach(function (note) {
            if (!note.contains(event.target)) { note.open = false; }
        });
    });
    /* A file that is too large for a callback is told, not dropped in silence. */
    document.addEventListener('change', function (event) {
        var place = event.target.closest('[data-most]'), file = event.target.files && event.target.files[0];
        if (place && file && file.size > Number(place.dataset.most)) {
            window.dash_clientside.set_props(place.dataset.told, {data: file.size});
        }
    }, true);
    document.addEventListener('keydown', function (event) {
        if (event.key === 'Escape') {
            document.querySelectorAll('details.info[open]').forEach(function (note) {
                note.open = false;
                note.querySelector('summary').focus();
            });
        }
    });
    window.addEventListener('popstate', function () { root.scrollTop = 0; });
})();
