#include "common/digest/sha256.h"

#include <utility>

#include "gtest/gtest.h"

#include "common/text/text.h"

namespace yagura {
namespace {

// FIPS 180-2, appendix B.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256Test, IsThatOfTheStandard) {
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(HexEncode(Sha256("abc")), kAbc);
  EXPECT_EQ(Sha256("").size(), kSha256Bytes);
}

TEST(Sha256Test, OfPiecesIsThatOfTheWhole) {
  Sha256Stream stream;
  stream.Add("a");
  Sha256Stream moved = std::move(stream);
  moved.Add("");
  moved.Add("bc");
  EXPECT_EQ(moved.Hex(), kAbc);
}

}  // namespace
}  // namespace yagura
