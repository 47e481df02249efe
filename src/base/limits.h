// Every limit in one place: its unit is the end of its name, its reason the comment. Each has a counter when it bites
// (record/counters.def) and a test at the limit and one past it. Overload refuses new work early; it never grows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::limits {

// --- peek -----------------------------------------------------------------------------------------------------------
// The handshake message itself. Real hellos are 0.2 to 2.2 KB (post-quantum key shares included); 64 KiB leaves room
// for several more of those and bounds what one client can make us keep.
inline constexpr size_t hello_bytes_max = 64 * 1024;
// The same with its record headers. A record of one byte costs six on the wire; 128 KiB admits any hello of up to
// 21 KB in 1-byte records and any hello of 64 KiB in records of 5 bytes or more.
inline constexpr size_t hello_wire_bytes_max = 128 * 1024;
// RFC 1035 section 3.1: 253 characters of text.
inline constexpr size_t host_bytes_max = 253;
inline constexpr size_t alpn_protocols_max = 64;
inline constexpr size_t extensions_max = 256;

// --- sessions -------------------------------------------------------------------------------------------------------
// Descriptors that a worker keeps for itself besides two per session: ring, listeners, wake-up, log, pipes (two each).
inline constexpr uint32_t descriptors_reserved_per_worker = 64;
// Each may pin up to pipe_bytes of kernel memory while its receiver is slow.
inline constexpr uint32_t pipes_per_worker_max = 64;
// A dial that takes longer has its client watched, so that one who gives up is noticed.
inline constexpr uint32_t dial_unwatched_ms = 250;
// A relay that has lived so long (or half of limits.keepalive) has keepalive set on its origin's socket.
inline constexpr uint32_t keepalive_after_ms = 5'000;
// With fewer the daemon refuses to start: it could serve nobody.
inline constexpr uint32_t sessions_per_worker_min = 16;
// An alert that closes a connection is sent in order: so long is waited for the client's own close.
inline constexpr uint32_t linger_ms = 2'000;
// An origin's reset is passed on behind the bytes that it sent before: so long may those take to reach the client.
inline constexpr uint32_t reset_after_delivery_ms = 10'000;

// --- relay ----------------------------------------------------------------------------------------------------------
// A direction that filled so many 16 KiB buffers in a row is streaming, and is spliced from then on (FACTS: splice pays
// from about 16 KiB per wake-up).
inline constexpr uint32_t full_reads_to_stream = 3;
// One buffer of the ring. In use only from a completion to the send that follows it in the same round.
inline constexpr size_t ring_buffer_bytes = 16 * 1024;
// A splicing direction whose wake-ups bring less than a buffer so many times in a row is copied again.
inline constexpr uint32_t small_reads_to_copy = 16;
inline constexpr uint8_t copies_before_asking_for_a_pipe = 64;
// What one direction may move before others get their turn.
inline constexpr uint64_t relay_turn_bytes = 1024 * 1024;
inline constexpr size_t relay_copy_bytes = 64 * 1024;
// The most that an unprivileged process may ask for (fs.pipe-max-size). With 256 KiB, 8 streams cost 1.18 x the CPU per GB
// of HAProxy with forced splicing; with 1 MiB, 0.95 to 0.98 x.
inline constexpr uint32_t pipe_bytes = 1024 * 1024;
// When so many directions streamed in one round, a worker waits so long for more before the next, or until so many are ready
// (IORING_FEAT_MIN_TIMEOUT, Linux 6.12). Beside HAProxy with forced splicing, at 8 and 64 streams: CPU per GB 0.92 and 0.82 x,
// throughput 1.02 and 1.08 x; without it 0.98 and 0.96 x, 1.00 and 1.03 x; waiting 50 us always 0.78 and 0.58 x, but throughput
// 0.91 x at 8 streams. It is the most that a bulk transfer delays other flows of its worker.
inline constexpr uint64_t gather_streams_min = 2;
inline constexpr uint32_t gather_us = 20;
inline constexpr uint32_t gather_completions = 64;
// The same while rounds have so many completions on average without waiting: 32 connections with 1 KB requests cost 0.88 x
// HAProxy's CPU instead of 1.02 x (medians of 9 short rounds each, on a busy machine). It is the most that a busy worker adds
// to an answer; when what comes in that time falls below the mean, it stops.
inline constexpr unsigned gather_busy_min = 2;
inline constexpr uint32_t gather_busy_us = 50;
inline constexpr uint32_t gather_busy_completions = 8;

// --- HTTP/1 ---------------------------------------------------------------------------------------------------------
// Start line and header fields together. Servers take 8 KB (Apache, a line) to 32 KB (nginx), browsers up to 256 KB of a
// response; 64 KiB lets through what both sides of real traffic use.
inline constexpr size_t http_head_bytes_max = 64 * 1024;
inline constexpr size_t http_target_bytes_max = 32 * 1024;
// The longest registered method has 17 bytes (UPDATEREDIRECTREF).
inline constexpr size_t http_method_bytes_max = 32;
inline constexpr size_t http_headers_max = 256;
// Names in Connection: each may be that of a field to leave out, so each field is compared with each. Browsers send one or two.
inline constexpr size_t http_connection_options_max = 32;
// RFC 9112 section 2.2 asks for one to be ignored.
inline constexpr uint8_t http_empty_lines_max = 4;
inline constexpr size_t http_trailer_bytes_max = 16 * 1024;
// A chunk's size with its extensions, which nobody uses: 16 digits are enough for the rest.
inline constexpr size_t http_chunk_line_bytes_max = 1024;
// Requests sent to an origin and not yet answered.
inline constexpr size_t http_pipelined_max = 8;
// The body of a request that is blocked, or the rest of a response that is: so much is read and thrown away, so that the
// connection can be used again (S31). A form or a small picture; reading more costs more than a new connection.
inline constexpr uint64_t http_discarded_body_bytes_max = 128 * 1024;
// Of a body whose verdict is pending: held in blocks of at least so much, and asked about again whenever so much more of it has come
// (a rule may say `size = "> 1 MiB"` of a body without a length).
inline constexpr size_t held_block_bytes = 4 * 1024;
inline constexpr uint64_t size_step_bytes = 64 * 1024;
// 100, 102 and 103 before one response. Servers send one or two; 102 may be repeated while work goes on.
inline constexpr uint8_t http_interim_max = 32;

// --- content --------------------------------------------------------------------------------------------------------
// Of a body's decoded beginning, what its type is told by. Signatures are in the first 512 bytes; the rest is for the first entries
// of a ZIP and the directory of a small Office file. An ISO image (32 KiB) is out of reach.
inline constexpr size_t content_prefix_bytes = 8 * 1024;
// Content codings on one body. One is usual, two are a mistake of some proxies; each costs up to decoder_window_bytes_max.
inline constexpr size_t content_codings_max = 3;
// The window of br (RFC 7932: 16 MiB at most) and of zstd (RFC 9659: 8 MiB at most on the web).
inline constexpr size_t decoder_window_bytes_max = 16 * 1024 * 1024;
inline constexpr int zstd_window_log_max = 23;
// Between two codings on one body.
inline constexpr size_t decoder_between_bytes = 16 * 1024;
// A body that decodes to more than decoded_free_bytes, and to more than decoded_ratio_max times what was sent, is a bomb: text
// decodes to some 5 to 20 times its size, gzip can reach 1,032, br and zstd far more. Apache's mod_deflate stops at 200.
inline constexpr uint64_t decoded_free_bytes = 32 * 1024 * 1024;
inline constexpr uint64_t decoded_ratio_max = 250;

// --- pages ----------------------------------------------------------------------------------------------------------
// A page template. A page with its pictures inside comes to some 100 KB.
inline constexpr size_t page_template_bytes_max = 256 * 1024;
// Macros in it, and bytes of what one stands for (a URL may have 32 KiB, six times that when escaped): a page that is made is at
// most the template and 256 x 2 KiB x 6 = 3 MiB; real ones have a dozen macros.
inline constexpr size_t macros_max = 256;
inline constexpr size_t macro_value_bytes_max = 2 * 1024;
// --- rules ----------------------------------------------------------------------------------------------------------
// One regular expression of rules.toml. Longer ones are lists in disguise: those belong into list files.
inline constexpr size_t regex_bytes_max = 4096;
// What RE2 may keep of the automaton of all expressions over one attribute, before it forgets and begins anew. Used only as far as
// traffic needs it: a few hundred expressions take some MiB.
inline constexpr int64_t regex_memory_bytes = 64 * 1024 * 1024;
// One URL in rules.toml or a list. Browsers and servers stop at 2,000 to 32,000 bytes; lists hold at most some hundred.
inline constexpr size_t url_pattern_bytes_max = 8192;

// --- certificates ---------------------------------------------------------------------------------------------------
// One certificate in DER. 1,000 names of 60 bytes come to about 64 KB; the largest seen in public are some 30 KB.
inline constexpr size_t certificate_bytes_max = 256 * 1024;
// Alternative names in it. Public CAs stop at 2,000 or fewer.
inline constexpr size_t certificate_names_max = 8192;
// Extensions in it, and attributes in a name. Real ones have about 10.
inline constexpr size_t certificate_extensions_max = 64;
inline constexpr size_t name_attributes_max = 64;
// Of an RSA key of ours. Browsers refuse less than 2048; wolfCrypt as it is built here computes no more than 4096, so that
// is the largest whose signatures are checked, too.
inline constexpr size_t rsa_bits_min = 2048;
inline constexpr size_t rsa_bits_max = 4096;
// Certificates in a CA file: ours, its intermediates, a root.
inline constexpr size_t authority_chain_max = 8;
// Minted certificates kept, over all workers. One is 0.7 to 2 KB with an EC authority, so these are some 8 MiB; one with
// 1,000 names is 30 KB, so their bytes are limited as well.
inline constexpr size_t leaf_cache_entries_max = 8192;
inline constexpr size_t leaf_cache_bytes_max = 32 * 1024 * 1024;
// A kept certificate is minted anew this long before it ends.
inline constexpr int64_t leaf_cache_margin_s = 3600;
// What a minted certificate may last, and how far its beginning may lie back (S16).
inline constexpr int64_t leaf_lifetime_s = 90 * 86400;
inline constexpr int64_t leaf_backdate_s = 86400;

// --- TLS ------------------------------------------------------------------------------------------------------------
// A client that resumes a session which was resumed itself, and so on: after so many comes a full handshake. wolfSSL counts
// them in one byte and breaks at 256.
inline constexpr uint8_t ticket_chain_max = 100;
// Early data of a client that is dropped before its second ClientHello, record headers included. Servers allow 16 KiB (OpenSSL, nginx,
// BoringSSL); what a client sends before it has heard of us is bounded by that.
inline constexpr size_t early_data_bytes_max = 128 * 1024;
// Sessions of origins that a worker may go back to, with the chains that they began with: about 6 KB each.
inline constexpr size_t origin_sessions_per_worker_max = 1024;

// --- bump and exchange ----------------------------------------------------------------------------------------------
// Wire bytes of one round are gathered in a buffer that the worker lends: 64 KiB read at once and their TLS overhead, or less.
inline constexpr size_t spare_output_bytes_min = 4 * 1024;
inline constexpr size_t spare_output_bytes_max = 256 * 1024;
inline constexpr size_t spare_outputs_max = 4;
// Plain bytes are gathered up to one full TLS record (RFC 8446 section 5.1) before they are encrypted.
inline constexpr size_t gathered_plain_bytes = 16 * 1024;
// What one client may have sent behind an Upgrade request before it is answered, or past http_pipelined_max.
// A client that completes a full handshake and leaves so soon without a byte has looked at the certificate and refused it
// (S14): key pins are compared behind the handshake. Browsers keep a connection that they opened ahead of need for longer.
inline constexpr uint32_t refusal_ms = 1'000;
inline constexpr size_t held_plain_bytes_max = 128 * 1024;

// --- the explicit proxy ------------------------------------------------------------------------------------------------
// RFC 8305 section 5: so long the answer of one address of a name is waited for before the next is dialled beside it.
inline constexpr uint32_t dial_stagger_ms = 250;
// Dials under way for one connection, and addresses of one name that are tried at all.
inline constexpr size_t dials_at_once_max = 4;
inline constexpr size_t dial_addresses_max = 8;
// Kept of a request for rules and the log. Browsers send 80 to 200 bytes.
inline constexpr size_t user_agent_bytes_max = 512;
// Names that wait for an answer, and names with answers that are remembered; an answer is at least and at most believed for
// so long, whatever it says, and that there is none for so long.
inline constexpr size_t resolver_waiting_max = 4096;
inline constexpr size_t resolver_names_max = 16384;
inline constexpr uint32_t resolver_ttl_min_s = 1;
inline constexpr uint32_t resolver_ttl_max_s = 300;
inline constexpr uint32_t resolver_nothing_s = 5;
inline constexpr uint32_t resolver_timeout_ms = 2'000;  // of one server; two tries each
// Passwords that wait to be checked. With bcrypt at its usual cost one takes 5 to 50 ms of a thread that does nothing else,
// so these are a few seconds' work; one that was right is remembered for so long.
inline constexpr size_t passwords_waiting_max = 128;
inline constexpr size_t passwords_known_max = 4096;
inline constexpr uint32_t password_known_s = 600;

// --- log ------------------------------------------------------------------------------------------------------------
// What a worker may have waiting for a slow log sink before it drops (and counts) records: some 10,000 records.
inline constexpr size_t log_queue_bytes_max = 4 * 1024 * 1024;

// --- the verdict on an origin ---------------------------------------------------------------------------------------
// Of what an origin sent so many are looked at. Real chains have 2 to 4; some send the same one over and over.
inline constexpr size_t chain_certificates_max = 16;
// From the origin's certificate to the root. Public chains have 3 or 4.
inline constexpr size_t path_certificates_max = 8;
// Signatures checked for one verdict (about 50 us each): cross-signed CAs multiply the paths, and a hostile chain would
// multiply them without end.
inline constexpr uint32_t path_signatures_max = 48;
// In one CRL file. The largest public lists have some 100,000; each costs 16 bytes besides the file.
inline constexpr size_t crl_entries_max = 4'000'000;
// In a stapled OCSP response. Real ones have one answer and at most one certificate.
inline constexpr size_t ocsp_answers_max = 32;
inline constexpr size_t ocsp_certificates_max = 8;
// Verdicts that a worker remembers: some 300 bytes each, and the origin's certificate.
inline constexpr size_t verdicts_per_worker_max = 4096;
// A verdict with problems is asked for again after so long: an intermediate may have been seen meanwhile.
inline constexpr int64_t bad_verdict_s = 60;
// Intermediates seen in good chains, some 2 KB each. The public CAs together have about 3,000.
inline constexpr size_t intermediates_per_worker_max = 1024;
// Of these with the same subject, so that one name cannot multiply the paths.
inline constexpr size_t intermediates_per_subject_max = 4;
// Pairs of certificate and issuer whose signature was good: 64 bytes each.
inline constexpr size_t good_signatures_per_worker_max = 8192;

}  // namespace sluice::limits
