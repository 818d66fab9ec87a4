/* SPDX-License-Identifier: Apache-2.0 */
/* The page's files as arrays; embed.py makes assets.c of them, so that the plugin is one file. */
#pragma once

#include <stddef.h>

extern const unsigned char asset_page_html[], asset_page_css[], asset_page_js[];
extern const size_t asset_page_html_size, asset_page_css_size, asset_page_js_size;
