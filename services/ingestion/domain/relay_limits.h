#pragma once

#include <cstddef>

namespace yagura::ingestion {

// What a relay tells of a sender at most: the suite remembers it as long as the stream lives.
inline constexpr size_t kMaxRelayedListener = 64;           // bytes
inline constexpr int kMaxRelayedCertificates = 64;          // names of one certificate
inline constexpr size_t kMaxRelayedCertificateBytes = 300;  // of a name

}  // namespace yagura::ingestion
