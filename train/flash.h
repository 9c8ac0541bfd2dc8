// train/flash.h -- everything a user needs: #include <flash/flash.h>
#pragma once

#include "../core/autograd/autograd.h"
#include "../core/device.h"
#include "../core/dtype.h"
#include "../core/env.h"
#include "../core/error.h"
#include "../core/log.h"
#include "../core/ops/create.h"
#include "../core/ops/elementwise.h"
#include "../core/ops/linalg.h"
#include "../core/ops/reduce.h"
#include "../core/ops/shape_ops.h"
#include "../core/random.h"
#include "../core/scope.h"
#include "../core/shape.h"
#include "../core/stats.h"
#include "../core/tensor.h"
