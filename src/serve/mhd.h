/* mhd.h - libmicrohttpd, opened by the first server (base/lib.h); its functions are called by their own names.  For http.c. */
#ifndef KR_SERVE_MHD_H
#define KR_SERVE_MHD_H
#ifdef KR_WITH_SERVER
#include <microhttpd.h>

#include "base/lib.h"

#define MHD_CALLS(_) _(add_response_header) _(create_response_from_buffer) _(create_response_from_callback) _(destroy_response) \
    _(get_connection_info) _(get_connection_values) _(get_daemon_info) _(get_timeout) _(is_feature_supported) _(lookup_connection_value) \
    _(queue_response) _(resume_connection) _(run) _(start_daemon) _(stop_daemon) _(suspend_connection)
#define MHD_FIELD(f) __typeof__(MHD_##f) *f;
#define MHD_NAME(f) "MHD_" #f "\0"

static struct { MHD_CALLS(MHD_FIELD) } mhd_calls;

static inline kr_status open_mhd(void) { return kr_lib_open(&mhd_calls, sizeof mhd_calls, KR_LIB_MICROHTTPD, MHD_CALLS(MHD_NAME)); }

#define MHD_add_response_header mhd_calls.add_response_header
#define MHD_create_response_from_buffer mhd_calls.create_response_from_buffer
#define MHD_create_response_from_callback mhd_calls.create_response_from_callback
#define MHD_destroy_response mhd_calls.destroy_response
#define MHD_get_connection_info mhd_calls.get_connection_info
#define MHD_get_connection_values mhd_calls.get_connection_values
#define MHD_get_daemon_info mhd_calls.get_daemon_info
#define MHD_get_timeout mhd_calls.get_timeout
#define MHD_is_feature_supported mhd_calls.is_feature_supported
#define MHD_lookup_connection_value mhd_calls.lookup_connection_value
#define MHD_queue_response mhd_calls.queue_response
#define MHD_resume_connection mhd_calls.resume_connection
#define MHD_run mhd_calls.run
#define MHD_start_daemon mhd_calls.start_daemon
#define MHD_stop_daemon mhd_calls.stop_daemon
#define MHD_suspend_connection mhd_calls.suspend_connection
#endif
#endif
