/* SPDX-License-Identifier: Apache-2.0 */
/* Exports nothing of fragua's. */
extern __attribute__((visibility("default"))) const int something_else;
const int something_else = 1;
