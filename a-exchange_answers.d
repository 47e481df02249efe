exchange_answers.o: src/flow/exchange_answers.cc src/flow/exchange.h \
 src/base/check.h src/flow/content.h src/base/file_type.h \
 src/base/file_types.def src/base/md5.h src/flow/world.h \
 src/base/limits.h src/config/config.h src/base/ip.h \
 src/base/origin_problem.h src/rules/policy.h src/rules/facts.h \
 src/rules/host_table.h src/rules/host_pattern.h src/base/host_name.h \
 src/rules/name_table.h src/base/huge_pages.h src/rules/name_hash.h \
 src/rules/uint128.h src/rules/set_pool.h src/rules/judge.h \
 src/rules/prefix_table.h src/rules/regex_set.h src/rules/schedule.h \
 src/rules/url_table.h src/rules/url_pattern.h src/hello/client_hello.h \
 src/hello/malformed.def src/io/kernel.h src/io/op.h src/io/pipe.h \
 src/io/timer_wheel.h src/record/connection_record.h src/base/result.h \
 src/record/close_reasons.def src/record/counters.h \
 src/record/counters.def src/record/request_record.h src/tls/material.h \
 src/tls/authority.h src/tls/certificate.h src/tls/der.h \
 src/base/byte_reader.h src/tls/private_key.h src/tls/trust.h \
 src/tls/revocation.h src/tls/signature.h src/tls/origin_verdict.h \
 src/scan/decoder.h src/tls/digest.h src/flow/session.h src/flow/asked.h \
 src/flow/channel.h src/tls/engine.h src/tls/chain.h src/tls/early_data.h \
 src/tls/engine_fault.def src/flow/dialer.h src/http/reader.h \
 src/http/head.h src/http/headers.h src/http/parser.h src/http/refusal.h \
 src/http/refusal.def src/http/write.h src/flow/refusal.h \
 src/flow/verdict_page.h src/http/page.h src/base/macro_text.h \
 src/base/macros.def
src/flow/exchange.h:
src/base/check.h:
src/flow/content.h:
src/base/file_type.h:
src/base/file_types.def:
src/base/md5.h:
src/flow/world.h:
src/base/limits.h:
src/config/config.h:
src/base/ip.h:
src/base/origin_problem.h:
src/rules/policy.h:
src/rules/facts.h:
src/rules/host_table.h:
src/rules/host_pattern.h:
src/base/host_name.h:
src/rules/name_table.h:
src/base/huge_pages.h:
src/rules/name_hash.h:
src/rules/uint128.h:
src/rules/set_pool.h:
src/rules/judge.h:
src/rules/prefix_table.h:
src/rules/regex_set.h:
src/rules/schedule.h:
src/rules/url_table.h:
src/rules/url_pattern.h:
src/hello/client_hello.h:
src/hello/malformed.def:
src/io/kernel.h:
src/io/op.h:
src/io/pipe.h:
src/io/timer_wheel.h:
src/record/connection_record.h:
src/base/result.h:
src/record/close_reasons.def:
src/record/counters.h:
src/record/counters.def:
src/record/request_record.h:
src/tls/material.h:
src/tls/authority.h:
src/tls/certificate.h:
src/tls/der.h:
src/base/byte_reader.h:
src/tls/private_key.h:
src/tls/trust.h:
src/tls/revocation.h:
src/tls/signature.h:
src/tls/origin_verdict.h:
src/scan/decoder.h:
src/tls/digest.h:
src/flow/session.h:
src/flow/asked.h:
src/flow/channel.h:
src/tls/engine.h:
src/tls/chain.h:
src/tls/early_data.h:
src/tls/engine_fault.def:
src/flow/dialer.h:
src/http/reader.h:
src/http/head.h:
src/http/headers.h:
src/http/parser.h:
src/http/refusal.h:
src/http/refusal.def:
src/http/write.h:
src/flow/refusal.h:
src/flow/verdict_page.h:
src/http/page.h:
src/base/macro_text.h:
src/base/macros.def:
