// nn/nn.h -- all of nn
#pragma once

#include "activation.h"
#include "batch_norm.h"
#include "conv.h"
#include "dropout.h"
#include "embedding.h"
#include "init.h"
#include "layer_norm.h"
#include "linear.h"
#include "module.h"
#include "pool.h"
#include "sequential.h"
