/* Numbers of RFC 6455 and of IANA's registries for it: opcodes, close codes, sizes of frames. Nothing else in the compiled
 * core spells one of them; words.py has those that Python needs.
 */
#ifndef SWHTTP_RFC6455_H
#define SWHTTP_RFC6455_H

/* Opcodes (§5.2). */
#define SW_WS_CONTINUATION 0
#define SW_WS_TEXT 1
#define SW_WS_BINARY 2
#define SW_WS_CLOSE 8
#define SW_WS_PING 9
#define SW_WS_PONG 10

/* Close codes (§7.4.1). */
#define SW_CLOSE_NORMAL 1000
#define SW_CLOSE_GOING_AWAY 1001
#define SW_CLOSE_PROTOCOL_ERROR 1002
#define SW_CLOSE_NO_CODE 1005          /* never on the wire: the Close had none */
#define SW_CLOSE_ABNORMAL 1006         /* never on the wire: there was no Close */
#define SW_CLOSE_BAD_DATA 1007
#define SW_CLOSE_POLICY_VIOLATION 1008
#define SW_CLOSE_TOO_BIG 1009
#define SW_CLOSE_INTERNAL_ERROR 1011
#define SW_CLOSE_SERVICE_RESTART 1012
#define SW_CLOSE_TRY_AGAIN_LATER 1013

#define SW_WS_CONTROL_BYTES 125        /* payload of a control frame, at most (§5.5) */
#define SW_WS_REASON_BYTES 123         /* of a Close's reason: its code takes two */
#define SW_WS_HEADER_BYTES 10          /* of a frame without a mask, at most */

/* May a Close hold this code? Those that §7.4 and the registry define, and the two ranges for libraries and
 * applications. 1004, 1005, 1006 and 1015 are never on the wire. */
static inline int sw_close_code_is_sendable(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

#endif
