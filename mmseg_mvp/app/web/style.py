"""Look of the web page, and its messages as HTML."""
from html import escape
from itertools import count

import gradio as gr

# Gradio ships the bold weight of this font. Its default weight, semibold, lacks the Latin alphabet. Its orange and its
# grey are too light for text (WCAG 2, 4.5:1).
THEME = gr.themes.Default(font=[gr.themes.LocalFont('Source Sans Pro', weights=(400, 700)), 'sans-serif']).set(
    button_primary_background_fill='*primary_700', button_primary_background_fill_hover='*primary_800',
    button_primary_background_fill_dark='*primary_700', button_primary_background_fill_hover_dark='*primary_800')
STYLE = '''
.gradio-container .or { color: inherit }
.gradio-container.gradio-container :focus-visible:focus-visible {
    outline: 3px solid #ea580c !important; outline-offset: 1px;
}
.say { margin: 0 }
#message:has(.say:empty), #message:has(.mistake) [data-testid=status-tracker] { display: none }
@media (max-width: 640px) { #result { min-height: 95vh } }
.say.working { min-height: 7em; color: transparent }
.say.mistake { border-left: 4px solid #dc2626; padding: 8px 12px; overflow-wrap: anywhere }
'''
TABLE_STYLE = ('table, tr, th, td { border: 0 } td:nth-child(2) { overflow-wrap: anywhere; min-width: 6em } '
               'th, td { padding: 2px 16px 2px 0; text-align: left; font-weight: normal }')
_NUMBERS = count()


def say(text: str, kind: str = '') -> str:
    """Return a message as HTML that screen readers read out; the kinds are ``'mistake'``, ``'working'`` and none."""
    if kind == 'mistake':  # its number lets the browser show a mistake that is made again
        return f'<p class="say mistake" role="alert" data-number="{next(_NUMBERS)}">{escape(text)}</p>'
    return f'<p class="say {kind}" role="status">{escape(text)}</p>'
