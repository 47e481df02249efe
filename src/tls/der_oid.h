// Object identifiers of certificates (RFC 5280, 3279, 4055, 5480, 5758, 8410), as the content octets of an
// OID in DER.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::tls::der_oid {

inline constexpr std::array<uint8_t, 9> rsa_encryption{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                       0x0d, 0x01, 0x01, 0x01};  // 1.2.840.113549.1.1.1
inline constexpr std::array<uint8_t, 9> rsa_pss{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                0x0d, 0x01, 0x01, 0x0a};  // 1.2.840.113549.1.1.10
inline constexpr std::array<uint8_t, 9> md2_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                     0x0d, 0x01, 0x01, 0x02};  // 1.2.840.113549.1.1.2
inline constexpr std::array<uint8_t, 9> md5_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                     0x0d, 0x01, 0x01, 0x04};  // 1.2.840.113549.1.1.4
inline constexpr std::array<uint8_t, 9> sha1_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                      0x0d, 0x01, 0x01, 0x05};  // 1.2.840.113549.1.1.5
inline constexpr std::array<uint8_t, 9> sha256_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                        0x0d, 0x01, 0x01, 0x0b};  // 1.2.840.113549.1.1.11
inline constexpr std::array<uint8_t, 9> sha384_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                        0x0d, 0x01, 0x01, 0x0c};  // 1.2.840.113549.1.1.12
inline constexpr std::array<uint8_t, 9> sha512_with_rsa{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                        0x0d, 0x01, 0x01, 0x0d};  // 1.2.840.113549.1.1.13
inline constexpr std::array<uint8_t, 5> sha1_with_rsa_iso{0x2b, 0x0e, 0x03, 0x02, 0x1d};  // 1.3.14.3.2.29
inline constexpr std::array<uint8_t, 9> mgf1{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                             0x0d, 0x01, 0x01, 0x08};  // 1.2.840.113549.1.1.8
inline constexpr std::array<uint8_t, 7> ec_public_key{0x2a, 0x86, 0x48, 0xce,
                                                      0x3d, 0x02, 0x01};  // 1.2.840.10045.2.1
inline constexpr std::array<uint8_t, 7> ecdsa_with_sha1{0x2a, 0x86, 0x48, 0xce,
                                                        0x3d, 0x04, 0x01};  // 1.2.840.10045.4.1
inline constexpr std::array<uint8_t, 8> ecdsa_with_sha256{0x2a, 0x86, 0x48, 0xce,
                                                          0x3d, 0x04, 0x03, 0x02};  // 1.2.840.10045.4.3.2
inline constexpr std::array<uint8_t, 8> ecdsa_with_sha384{0x2a, 0x86, 0x48, 0xce,
                                                          0x3d, 0x04, 0x03, 0x03};  // 1.2.840.10045.4.3.3
inline constexpr std::array<uint8_t, 8> ecdsa_with_sha512{0x2a, 0x86, 0x48, 0xce,
                                                          0x3d, 0x04, 0x03, 0x04};  // 1.2.840.10045.4.3.4
inline constexpr std::array<uint8_t, 8> p256{0x2a, 0x86, 0x48, 0xce,
                                             0x3d, 0x03, 0x01, 0x07};        // 1.2.840.10045.3.1.7
inline constexpr std::array<uint8_t, 5> p384{0x2b, 0x81, 0x04, 0x00, 0x22};  // 1.3.132.0.34
inline constexpr std::array<uint8_t, 5> p521{0x2b, 0x81, 0x04, 0x00, 0x23};  // 1.3.132.0.35
inline constexpr std::array<uint8_t, 3> ed25519{0x2b, 0x65, 0x70};           // 1.3.101.112
inline constexpr std::array<uint8_t, 3> ed448{0x2b, 0x65, 0x71};             // 1.3.101.113
inline constexpr std::array<uint8_t, 5> sha1{0x2b, 0x0e, 0x03, 0x02, 0x1a};  // 1.3.14.3.2.26
inline constexpr std::array<uint8_t, 9> sha256{0x60, 0x86, 0x48, 0x01, 0x65,
                                               0x03, 0x04, 0x02, 0x01};  // 2.16.840.1.101.3.4.2.1
inline constexpr std::array<uint8_t, 9> sha384{0x60, 0x86, 0x48, 0x01, 0x65,
                                               0x03, 0x04, 0x02, 0x02};  // 2.16.840.1.101.3.4.2.2
inline constexpr std::array<uint8_t, 9> sha512{0x60, 0x86, 0x48, 0x01, 0x65,
                                               0x03, 0x04, 0x02, 0x03};              // 2.16.840.1.101.3.4.2.3
inline constexpr std::array<uint8_t, 3> subject_key_id{0x55, 0x1d, 0x0e};            // 2.5.29.14
inline constexpr std::array<uint8_t, 3> key_usage{0x55, 0x1d, 0x0f};                 // 2.5.29.15
inline constexpr std::array<uint8_t, 3> subject_alternative_name{0x55, 0x1d, 0x11};  // 2.5.29.17
inline constexpr std::array<uint8_t, 3> issuer_alternative_name{0x55, 0x1d, 0x12};   // 2.5.29.18
inline constexpr std::array<uint8_t, 3> basic_constraints{0x55, 0x1d, 0x13};         // 2.5.29.19
inline constexpr std::array<uint8_t, 3> name_constraints{0x55, 0x1d, 0x1e};          // 2.5.29.30
inline constexpr std::array<uint8_t, 3> crl_distribution_points{0x55, 0x1d, 0x1f};   // 2.5.29.31
inline constexpr std::array<uint8_t, 3> certificate_policies{0x55, 0x1d, 0x20};      // 2.5.29.32
inline constexpr std::array<uint8_t, 3> policy_mappings{0x55, 0x1d, 0x21};           // 2.5.29.33
inline constexpr std::array<uint8_t, 3> authority_key_id{0x55, 0x1d, 0x23};          // 2.5.29.35
inline constexpr std::array<uint8_t, 3> policy_constraints{0x55, 0x1d, 0x24};        // 2.5.29.36
inline constexpr std::array<uint8_t, 3> extended_key_usage{0x55, 0x1d, 0x25};        // 2.5.29.37
inline constexpr std::array<uint8_t, 3> inhibit_any_policy{0x55, 0x1d, 0x36};        // 2.5.29.54
inline constexpr std::array<uint8_t, 8> authority_information_access{0x2b, 0x06, 0x01, 0x05, 0x05,
                                                                     0x07, 0x01, 0x01};  // 1.3.6.1.5.5.7.1.1
inline constexpr std::array<uint8_t, 8> tls_feature{0x2b, 0x06, 0x01, 0x05,
                                                    0x05, 0x07, 0x01, 0x18};  // 1.3.6.1.5.5.7.1.24
inline constexpr std::array<uint8_t, 8> ocsp{0x2b, 0x06, 0x01, 0x05,
                                             0x05, 0x07, 0x30, 0x01};  // 1.3.6.1.5.5.7.48.1
inline constexpr std::array<uint8_t, 8> ca_issuers{0x2b, 0x06, 0x01, 0x05,
                                                   0x05, 0x07, 0x30, 0x02};              // 1.3.6.1.5.5.7.48.2
inline constexpr std::array<uint8_t, 4> any_extended_key_usage{0x55, 0x1d, 0x25, 0x00};  // 2.5.29.37.0
inline constexpr std::array<uint8_t, 8> server_auth{0x2b, 0x06, 0x01, 0x05,
                                                    0x05, 0x07, 0x03, 0x01};  // 1.3.6.1.5.5.7.3.1
inline constexpr std::array<uint8_t, 8> client_auth{0x2b, 0x06, 0x01, 0x05,
                                                    0x05, 0x07, 0x03, 0x02};  // 1.3.6.1.5.5.7.3.2
inline constexpr std::array<uint8_t, 8> ocsp_signing{0x2b, 0x06, 0x01, 0x05,
                                                     0x05, 0x07, 0x03, 0x09};   // 1.3.6.1.5.5.7.3.9
inline constexpr std::array<uint8_t, 3> common_name{0x55, 0x04, 0x03};          // 2.5.4.3
inline constexpr std::array<uint8_t, 3> surname{0x55, 0x04, 0x04};              // 2.5.4.4
inline constexpr std::array<uint8_t, 3> serial_number{0x55, 0x04, 0x05};        // 2.5.4.5
inline constexpr std::array<uint8_t, 3> country{0x55, 0x04, 0x06};              // 2.5.4.6
inline constexpr std::array<uint8_t, 3> locality{0x55, 0x04, 0x07};             // 2.5.4.7
inline constexpr std::array<uint8_t, 3> state{0x55, 0x04, 0x08};                // 2.5.4.8
inline constexpr std::array<uint8_t, 3> street{0x55, 0x04, 0x09};               // 2.5.4.9
inline constexpr std::array<uint8_t, 3> organization{0x55, 0x04, 0x0a};         // 2.5.4.10
inline constexpr std::array<uint8_t, 3> organizational_unit{0x55, 0x04, 0x0b};  // 2.5.4.11
inline constexpr std::array<uint8_t, 10> domain_component{
    0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19};  // 0.9.2342.19200300.100.1.25
inline constexpr std::array<uint8_t, 9> email_address{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                      0x0d, 0x01, 0x09, 0x01};  // 1.2.840.113549.1.9.1

}  // namespace sluice::tls::der_oid
