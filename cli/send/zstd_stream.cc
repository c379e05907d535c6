#include "cli/send/zstd_stream.h"

#include <zstd.h>

#include <array>
#include <fstream>
#include <stdexcept>
#include <streambuf>
#include <vector>

namespace yagura::cli {
namespace {

class ZstdBuffer final : public std::streambuf {
 public:
  explicit ZstdBuffer(const std::string& path)
      : file_(path, std::ios::binary),
        context_(ZSTD_createDStream(), &ZSTD_freeDStream),
        packed_(ZSTD_DStreamInSize()),
        text_(ZSTD_DStreamOutSize()) {}

 protected:
  int_type underflow() override {
    ZSTD_outBuffer out{text_.data(), text_.size(), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !Refill()) {
        // istream makes badbit of it.
        if (inside_frame_) throw std::runtime_error("the file ends within a frame");
        return traits_type::eof();
      }
      const size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) throw std::runtime_error("not zstd, or damaged");
      inside_frame_ = left != 0;
    }
    setg(text_.data(), text_.data(), text_.data() + out.pos);
    return traits_type::to_int_type(*gptr());
  }

 private:
  bool Refill() {
    file_.read(packed_.data(), static_cast<std::streamsize>(packed_.size()));
    in_ = {packed_.data(), static_cast<size_t>(file_.gcount()), 0};
    return in_.size > 0;
  }

  std::ifstream file_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> context_;
  std::vector<char> packed_;
  std::vector<char> text_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_frame_ = false;
};

class ZstdStream final : public std::istream {
 public:
  explicit ZstdStream(const std::string& path) : std::istream(nullptr), buffer_(path) {
    rdbuf(&buffer_);
  }

 private:
  ZstdBuffer buffer_;
};

}  // namespace

std::unique_ptr<std::istream> OpenZstd(const std::string& path) {
  return std::make_unique<ZstdStream>(path);
}

uint64_t ZstdTextSize(const std::string& path) {
  std::array<char, 18> head{};  // ZSTD_FRAMEHEADERSIZE_MAX
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const auto size = ZSTD_getFrameContentSize(head.data(), static_cast<size_t>(file.gcount()));
  return size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ? 0 : size;
}

}  // namespace yagura::cli
