/* The grid in our tokens, and the cells that are more than text. */
(function () {
    'use strict';
    var functions = window.dashAgGridFunctions = window.dashAgGridFunctions || {};
    var cells = window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};

    functions.parkTheme = function (theme) {
        return theme.withParams({
            fontFamily: 'inherit', fontSize: 13, headerFontSize: 13, headerFontWeight: 600,
            backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)',
            headerBackgroundColor: 'var(--surface)', headerTextColor: 'var(--muted)',
            borderColor: 'var(--border)', rowHoverColor: 'var(--hover)',
            selectedRowBackgroundColor: 'var(--hover)', accentColor: 'var(--trace1)',
            checkboxCheckedShapeColor: 'var(--surface)', checkboxUncheckedBorderColor: 'var(--control)',
            inputBackgroundColor: 'var(--raised)', menuBackgroundColor: 'var(--raised)',
            borderRadius: 3, wrapperBorderRadius: 3, spacing: 5, rowHeight: 34, headerHeight: 34,
            browserColorScheme: 'inherit'
        });
    };
    cells.Priority = function (props) {
        var row = props.data;
        return window.React.createElement('span', {className: 'priority priority-' + row.priority},
            row.shape + ' ' + row.priority_text);
    };
    cells.Stamp = function (props) {
        return window.React.createElement('span', {className: 'tabular'}, props.data.raised);
    };
    cells.InsideLink = function (props) {
        return window.React.createElement('a', {
            href: props.data.href,
            onClick: function (event) {
                if (event.ctrlKey || event.metaKey) { return; }
                event.preventDefault();
                history.pushState({}, '', props.data.href);
                window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
            }
        }, props.value);
    };
})();
