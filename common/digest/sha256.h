#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace yagura {

inline constexpr size_t kSha256Bytes = 32;

// SHA-256 of the bytes: 32 bytes.
std::string Sha256(std::string_view bytes);
// The same as 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);

// SHA-256 of bytes that come piece by piece. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  void Add(std::string_view bytes);
  // Once; 64 lower-case hex digits.
  std::string Hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace yagura
